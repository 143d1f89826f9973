"""Symmetric decimation by half-edge collapses: vertices disappear, none moves (Garland and Heckbert 1997)."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Edge = tuple[int, int]

MOST_NEIGHBOURS = 11
TURN = 0.25  # least cosine between a face's normals before and after a collapse, about 75 degrees
ASPECT = 0.03  # least double area over the square of the longest edge
LENGTH_TERM = 1e-6  # times length^3: breaks ties on flat ground in favour of short edges
FEATURE_WEIGHT = 3.0


class Decimator:
    """A triangle mesh that loses vertices one at a time, cheapest quadric error first.

    Because vertices are only removed, shapes, weights and labels of the source carry over by picking rows.
    """

    def __init__(self, vertices: Floats, faces: Ints, weight: Floats, features: Ints) -> None:
        """Prepare the quadrics and the queue.

        Args:
            vertices: positions, (N, 3).
            faces: vertex ids, (F, 3).
            weight: factor on the cost of removing a vertex, (N,).
            features: edges (E, 2) that may only collapse along themselves.
        """
        self.vertices, self.weight = vertices, weight
        self.faces: dict[int, tuple[int, ...]] = {i: tuple(face) for i, face in enumerate(faces.tolist())}
        self.faces_at: dict[int, set[int]] = {}
        for index, face in self.faces.items():
            for vertex in face:
                self.faces_at.setdefault(vertex, set()).add(index)
        self.features_at: dict[int, set[Edge]] = {}
        for a, b in features.tolist():
            for vertex in (a, b):
                self.features_at.setdefault(vertex, set()).add((min(a, b), max(a, b)))
        self.quadrics = {vertex: np.zeros((4, 4)) for vertex in self.faces_at}
        self._add_quadrics(features)
        self.round = dict.fromkeys(self.faces_at, 0)
        self.queue: list[tuple[float, int, int, int, int]] = []
        for vertex in self.faces_at:
            self._queue_from(vertex)

    def remaining(self) -> Ints:
        """Faces that are left, (F', 3)."""
        return np.array(list(self.faces.values()))

    def run(self, allowed: Callable[[int, int], bool], done: Callable[[], bool]) -> None:
        """Collapse edges a -> b with `allowed(a, b)`, cheapest first, until `done()` or none is left."""
        skipped = []
        while self.queue and not done():
            entry = heapq.heappop(self.queue)
            _, a, b, round_a, round_b = entry
            if self.round.get(a) != round_a or self.round.get(b) != round_b:
                continue
            if not allowed(a, b):
                skipped.append(entry)
            elif self._legal(a, b):
                self._collapse(a, b)
        for entry in skipped:
            heapq.heappush(self.queue, entry)

    def _add_quadrics(self, features: Ints) -> None:
        for face in self.faces.values():
            normal, area = self._normal(face)
            if area < 1e-14:
                continue
            plane = np.append(normal, -normal @ self.vertices[face[0]])
            for vertex in face:
                self.quadrics[vertex] += np.outer(plane, plane) * area
        for a, b in features.tolist():
            along = self.vertices[b] - self.vertices[a]
            for index in self.faces_at[a] & self.faces_at[b]:
                normal, _ = self._normal(self.faces[index])
                across = np.cross(along, normal)
                length = np.linalg.norm(across)
                if length < 1e-14:
                    continue
                across /= length
                plane = np.append(across, -across @ self.vertices[a])
                quadric = np.outer(plane, plane) * (along @ along) * FEATURE_WEIGHT
                self.quadrics[a] += quadric
                self.quadrics[b] += quadric

    def _normal(self, face: tuple[int, ...]) -> tuple[Floats, float]:
        """Unit normal and double area."""
        p, q, r = self.vertices[list(face)]
        cross = np.cross(q - p, r - p)
        length = float(np.linalg.norm(cross))
        return cross / max(length, 1e-300), length

    def _neighbours(self, vertex: int) -> set[int]:
        return {other for index in self.faces_at[vertex] for other in self.faces[index]} - {vertex}

    def _queue_from(self, a: int) -> None:
        for b in self._neighbours(a):
            self._push(a, b)

    def _push(self, a: int, b: int) -> None:
        point = np.append(self.vertices[b], 1.0)
        error = max(float(point @ (self.quadrics[a] + self.quadrics[b]) @ point), 0.0)
        length = float(np.linalg.norm(self.vertices[a] - self.vertices[b]))
        cost = (error + LENGTH_TERM * length**3) * self.weight[a]
        heapq.heappush(self.queue, (cost, a, b, self.round[a], self.round[b]))

    def _legal(self, a: int, b: int) -> bool:
        features = self.features_at.get(a, set())
        if features and (len(features) != 2 or (min(a, b), max(a, b)) not in features):
            return False
        around_a, around_b = self._neighbours(a), self._neighbours(b)
        if len(around_a & around_b) != len(self.faces_at[a] & self.faces_at[b]):  # link condition
            return False
        if len(around_a | around_b) - 2 > MOST_NEIGHBOURS:
            return False
        return all(self._keeps_shape(self.faces[i], a, b) for i in self.faces_at[a] - self.faces_at[b])

    def _keeps_shape(self, face: tuple[int, ...], a: int, b: int) -> bool:
        moved = tuple(b if vertex == a else vertex for vertex in face)
        before, area_before = self._normal(face)
        after, area = self._normal(moved)
        if area < 1e-12 or (area_before > 1e-12 and before @ after < TURN):
            return False
        corners = self.vertices[list(moved)]
        longest = ((corners - np.roll(corners, -1, 0)) ** 2).sum(1).max()
        return bool(area >= ASPECT * longest)

    def _collapse(self, a: int, b: int) -> None:
        for index in sorted(self.faces_at[a] & self.faces_at[b]):
            for vertex in self.faces.pop(index):
                self.faces_at[vertex].discard(index)
        for index in sorted(self.faces_at.pop(a)):
            self.faces[index] = tuple(b if vertex == a else vertex for vertex in self.faces[index])
            self.faces_at[b].add(index)
        for edge in self.features_at.pop(a, set()):
            other = edge[0] if edge[1] == a else edge[1]
            self.features_at[other].discard(edge)
            if other != b:
                joined = (min(other, b), max(other, b))
                self.features_at[other].add(joined)
                self.features_at[b].add(joined)
        self.quadrics[b] = self.quadrics[b] + self.quadrics[a]
        del self.round[a]
        self.round[b] += 1
        self._queue_from(b)
        for other in self._neighbours(b):
            self._push(other, b)
