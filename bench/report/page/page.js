"use strict";
// Filters, sorting and records of the leaderboard. Without this script the page is complete, but still.
{
  const data = JSON.parse(document.getElementById("records").textContent);
  const form = document.getElementById("filters");
  const dialog = document.getElementById("record");
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  const make = (name, attributes = {}, ...children) => {
    const svg = ["svg", "g", "path", "line", "circle", "text", "title"].includes(name);
    const element = svg
      ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children); // strings become text, never markup
    return element;
  };

  // ---- filters

  const selects = all("select", form);
  const search = form.elements.method;

  const apply = () => {
    const names = selects.map((select) => `[data-${select.name}]`);
    for (const element of all([...names, "[data-method]", "[data-holder]"].join())) element.hidden = false;
    const hide = (element) => (element.hidden = true);
    for (const { name, value } of selects)
      if (value) all(`[data-${name}]:not([data-${name}~="${value}"])`).forEach(hide);
    const wanted = search.value.trim().toLowerCase();
    for (const row of all("[data-method]"))
      if (!row.dataset.method.toLowerCase().includes(wanted)) hide(row);
    for (const holder of all("[data-holder]").reverse())
      if (!holder.querySelector("[data-method]:not([hidden])")) hide(holder);
    for (const link of all("nav a"))
      link.parentElement.hidden = document.querySelector(link.hash).hidden;
    tell();
  };

  const tell = () => {
    const rows = all("table.scores tr[data-method], .incomplete li");
    const tables = all("main > section[data-task]");
    const shown = (found) => found.filter((element) => !element.closest("[hidden]")).length;
    const [left, whole] = [shown(tables), tables.length];
    const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
    form.elements.shown.value = `${left} of ${count(whole, "table")}, ${shown(rows)} of ${count(rows.length, "row")}`;
    document.getElementById("nothing").hidden = left > 0;
  };

  // ---- the address holds the filters and the open record, so that a view can be shared

  let open = null; // number of the entry in the dialog

  const remember = () => {
    const words = new URLSearchParams();
    for (const select of selects) if (select.value) words.set(select.name, select.selectedOptions[0].text);
    if (search.value.trim()) words.set("method", search.value.trim());
    if (open !== null && data.entries[open].key) words.set("record", data.entries[open].key);
    const text = words.toString();
    history.replaceState(null, "", text ? `#${text}` : location.href.split("#")[0]);
  };

  const recall = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    for (const select of selects) {
      const text = words.get(select.name);
      select.value = text === null ? "" : ([...select.options].find((o) => o.value && o.text === text)?.value ?? "");
    }
    search.value = words.get("method") ?? "";
    apply();
    const entry = data.entries.findIndex(({ key }) => key && key === words.get("record"));
    if (entry >= 0 && entry !== open) show(entry);
  };

  form.addEventListener("input", () => (apply(), remember()));
  form.addEventListener("reset", () => setTimeout(() => (apply(), remember())));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", recall);
  for (const link of all("a[href^='#']"))
    link.addEventListener("click", (event) => {
      event.preventDefault(); // the address belongs to the filters
      const place = document.querySelector(link.hash);
      place.scrollIntoView();
      (place.querySelector("h2") ?? place).focus({ preventScroll: true });
    });

  // ---- sorting, within the groups of a table

  const places = new Map(all("tbody tr").map((row, place) => [row, place])); // as the page came

  const sort = (header) => {
    const table = header.closest("table");
    const first = header.dataset.sort === "high" ? "descending" : "ascending";
    const second = first === "descending" ? "ascending" : "descending";
    const before = header.getAttribute("aria-sort");
    const order = before === null ? first : before === first ? second : null;
    for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
    if (order) header.setAttribute("aria-sort", order);
    const column = header.cellIndex;
    const sign = order === "descending" ? -1 : 1;
    const value = (row) => row.cells[column].dataset.value;
    const compare = (a, b) => {
      if (!order) return 0;
      if (column === 0) return sign * a.dataset.method.localeCompare(b.dataset.method, "en");
      if (value(a) === undefined || value(b) === undefined)
        return (value(a) === undefined) - (value(b) === undefined); // absent numbers come last
      return sign * (value(a) - value(b));
    };
    for (const body of table.tBodies) {
      const rows = all("tr[data-method]", body);
      body.append(...rows.sort((a, b) => compare(a, b) || places.get(a) - places.get(b)));
    }
  };

  for (const header of all("th[data-sort]")) {
    const button = make("button", { type: "button" }, ...header.childNodes);
    button.addEventListener("click", () => sort(header));
    header.append(button);
  }

  // ---- records

  for (const holder of all("[data-entry]")) {
    const { title, place } = data.entries[holder.dataset.entry];
    const words = holder.textContent.trim().replace(/\s+/g, " ");
    const button = make("button", { type: "button", class: "open", "aria-haspopup": "dialog" });
    button.setAttribute("aria-label", `${words}; ${title}, ${place}`);
    button.append(...holder.childNodes);
    button.addEventListener("click", () => (show(Number(holder.dataset.entry)), remember()));
    holder.append(button);
  }

  const show = (number) => {
    open = number;
    if (!dialog.open) dialog.showModal();
    dialog.replaceChildren(...content(data.entries[number]));
    dialog.scrollTop = 0;
    dialog.querySelector("button").focus();
  };

  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    open = null;
    dialog.replaceChildren();
    remember();
  });

  const content = (entry) => {
    const close = make("button", { type: "button", class: "close", "aria-label": "Close" }, "✕");
    close.addEventListener("click", () => dialog.close());
    const head = make("header", {}, make("h2", { id: "record-title" }, entry.title), close);
    const place = make("p", { class: "place" }, entry.place);
    const pairs = entry.summary.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
    const parts = [head, place, make("p", { class: "note" }, data.tables[entry.table]), make("dl", {}, ...pairs)];
    parts.push(table(entry.metrics.map((row) => data.rows[row]), entry.columns, "Values"));
    if (entry.links) parts.push(links(entry));
    else parts.push(make("p", { class: "note" }, "↑ higher is better, ↓ lower is better."));
    const lines = entry.links ? entry.links.flatMap(([name, other]) => curves(other, `${name}, `)) : curves(entry);
    if (lines.length) parts.push(make("h3", {}, "Convergence"), ...chart(lines, axis(entry)));
    for (const number of entry.sections ?? []) {
      const [title, folded, rows] = data.sections[number];
      const runs = entry.columns.slice(0, -1); // the last one is the mean
      const body = table(rows.map((row) => data.rows[row]), runs, title);
      if (folded) parts.push(make("details", {}, make("summary", {}, title), body));
      else parts.push(make("h3", {}, title), body);
    }
    return parts;
  };

  const table = (rows, columns, label) => {
    const head = make("tr", {}, make("td"), ...columns.map((word) => make("th", { scope: "col" }, word)));
    const differ = rows.some((row) => row.length > 2) || columns.length === 1; // else no run needs a name
    const body = rows.map(([name, ...values]) => {
      const span = values.length === 1 && differ ? { colspan: columns.length } : {};
      return make(
        "tr",
        {},
        make("th", { scope: "row" }, name),
        ...values.map((value) => make("td", span, value)),
      );
    });
    const made = make("table", { class: "facts" }, ...(differ ? [make("thead", {}, head)] : []), make("tbody", {}, ...body));
    return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, made);
  };

  const links = (entry) => {
    const buttons = entry.links.map(([name, other]) => {
      const button = make("button", { type: "button" }, `Record of ${name}`);
      button.addEventListener("click", () => (show(other), remember()));
      return button;
    });
    return make("p", { class: "links" }, ...buttons);
  };

  // ---- convergence curves

  const DASHES = ["none", "7 3", "2 3", "9 3 2 3", "12 4", "4 2 1 2"];

  const axis = (entry) => entry.axis ?? data.entries[entry.links[0][1]].axis;

  const curves = (entry, prefix = "") => {
    const { curves: found, columns, colour } = typeof entry === "number" ? data.entries[entry] : entry;
    return found.flatMap((curve, i) => {
      if (!curve) return [];
      const points = curve[1].map((value, p) => [data.axes[curve[0]][p], value]);
      return [{ name: prefix + columns[i], points, colour, dash: DASHES[i % DASHES.length] }];
    });
  };

  const ticks = (low, high) => {
    const rough = (high - low) / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
    const count = Math.ceil(high / step) - Math.floor(low / step);
    return Array.from({ length: count + 1 }, (_, i) => (Math.floor(low / step) + i) * step);
  };

  const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format;

  const chart = (lines, label) => {
    const width = Math.max(280, Math.min(720, dialog.clientWidth - 48));
    const [height, left, top, bottom] = [260, 52, 22, 40];
    const values = lines.flatMap(({ points }) => points.map((point) => point[1]));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const marks = ticks(least, most > least ? most : least + (Math.abs(least) || 1) / 10);
    const [low, high] = [marks[0], marks.at(-1)];
    const x = (progress) => left + progress * (width - left - 14);
    const y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
    const text = (words, px, py, anchor) => make("text", { x: px, y: py, "text-anchor": anchor }, words);
    const grid = marks.flatMap((mark) => [
      make("line", { class: "grid", x1: left, x2: x(1), y1: y(mark), y2: y(mark) }),
      text(short(mark), left - 8, y(mark) + 4, "end"),
    ]);
    const shares = [0, 0.25, 0.5, 0.75, 1].map((p) => text(`${100 * p}`, x(p), height - bottom + 18, "middle"));
    const names = [text(label, left, 12, "start"), text("fine-tuning progress (% of steps)", x(1), height - 4, "end")];
    const drawn = lines.map(({ name, points, colour, dash }) => {
      const way = points.map(([p, v], i) => `${i ? "L" : "M"}${x(p).toFixed(1)} ${y(v).toFixed(1)}`).join("");
      const dots = points.map(([p, v]) => {
        const said = make("title", {}, `${name}, ${short(100 * p)} %: ${short(v)}`);
        return make("circle", { cx: x(p), cy: y(v), r: 3, fill: colour }, said);
      });
      return make("g", {}, make("path", { d: way, stroke: colour, "stroke-dasharray": dash }), ...dots);
    });
    const said = lines.map(({ name, points }) => `${name} ends at ${short(points.at(-1)[1])}`).join(", ");
    const size = { viewBox: `0 0 ${width} ${height}`, width, height };
    const svg = make("svg", { class: "chart", role: "img", "aria-label": `${label}: ${said}`, ...size });
    svg.append(...grid, ...shares, ...names, make("g", { class: "ink" }, ...drawn));
    return [svg, legend(lines)];
  };

  const legend = (lines) => {
    const entries = lines.map(({ name, colour, dash }) => {
      const sample = make("path", { d: "M0 5H28", stroke: colour, "stroke-dasharray": dash });
      const key = make("svg", { class: "key ink", viewBox: "0 0 28 10", "aria-hidden": "true" }, sample);
      return make("li", {}, key, name);
    });
    return make("ul", { class: "legend" }, ...entries);
  };

  for (const element of all("[hidden].scripted, form[hidden]")) element.hidden = false;
  recall();
}
