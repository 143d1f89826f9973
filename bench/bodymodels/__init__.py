"""Body models: surrogate and licensed meshes, surface labels, geodesics, joint sets."""
