"use strict";
// Builds the leaderboard from the JSON in this page: the overview, then one folded section per task.
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");
  const form = document.getElementById("filters");
  const dialog = document.getElementById("record");
  const [TIE, OTHER, EXPOSED, FRONT] = ["≈", "†", "‡", "◆"];
  const SETTING = ["preset", "track", "mode", "protocol"];

  // ---- elements; all texts become text, never markup, and lose what cannot be seen

  const plain = (words) =>
    String(words).replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, " ").replace(/[\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu, "");
  const SVG = new Set(["svg", "g", "path", "line", "circle", "text", "title"]);
  const make = (name, attributes = {}, ...children) => {
    const element = SVG.has(name)
      ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes))
      if (value !== null && value !== undefined) element.setAttribute(key, plain(value));
    element.append(...children.flat().map((c) => (c instanceof Node ? c : plain(c))));
    return element;
  };
  const button = (attributes, click, ...children) => {
    const made = make("button", { type: "button", ...attributes }, ...children);
    made.addEventListener("click", click);
    return made;
  };
  const scrolling = (label, child) => make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, child);
  const note = (words) => make("p", { class: "note" }, words);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
  const unique = (values) => [...new Set(values)];
  const group = (rows, key) => {
    const found = new Map();
    for (const row of rows) found.set(key(row), [...(found.get(key(row)) ?? []), row]);
    return [...found];
  };
  const dot = (name) =>
    make("svg", { class: "dot ink", viewBox: "0 0 10 10", "aria-hidden": "true" },
      make("circle", { cx: 5, cy: 5, r: 4, fill: data.colours[name] ?? "#7A7A7A" }));

  // ---- numbers

  const number = (value, unit, more = 0) => value.toFixed(({ "%": 1, mm: 1 }[unit] ?? 3) + more);
  const signed = (value, unit, more = 0) => {
    const words = number(Math.abs(value), unit, more);
    return /[1-9]/.test(words) ? (value < 0 ? "-" : "+") + words : words;
  };
  const pValue = (p) => (p < 0.001 ? "p<0.001" : `p=${p < 0.1 ? Number(p.toPrecision(2)) : p.toFixed(2)}`);
  const unitName = (unit) => unit || "ratio";
  const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format;
  const amount = (v) => (v === null ? "-" : Math.round(v).toLocaleString("en"));
  const memory = (v) => (v === null ? "-" : `${amount(v)} MB`);
  const duration = (s) =>
    s === null ? "-"
    : s < 60 ? `${s.toFixed(s < 10 ? 1 : 0)} s`
    : s < 3600 ? `${(s / 60).toFixed(1)} min` : `${(s / 3600).toFixed(1)} h`;
  const share = (label) => {
    if (label.startsWith("shots=")) return `${label.slice(6)} shots`;
    const [over, under = 1] = label.split("/").map(Number);
    const percent = Number(((100 * over) / under).toPrecision(4));
    return Math.abs(percent * under - 100 * over) < 1e-9 ? `${percent} %` : label;
  };
  const shareHeader = (label) => (label.startsWith("shots=") ? share(label) : `${share(label)} labels`);
  const spread = (row, unit) =>
    row.low !== null ? `[${number(row.low, unit)}, ${number(row.high, unit)}]`
    : row.n > 1 && row.minimum !== undefined ? `{${number(row.minimum, unit)} to ${number(row.maximum, unit)}}` : "";
  const gap = (row) => {
    if (row.low === null) return [signed(row.difference, row.unit), ""];
    const near = Math.min(Math.abs(row.low), Math.abs(row.high));
    let more = 0; // a bound beyond 0 gets the decimals that show it
    while (row.beyond && more < 3 && !signed(near, row.unit, more).startsWith("+")) more += 1;
    const [mean, low, high] = [row.difference, row.low, row.high].map((v) => signed(v, row.unit, more));
    return [mean, `[${low}, ${high}]`];
  };
  const factor = (row, name) => {
    const state = row[`${name}_state`];
    if (state === "reached") return row[name] < 10 ? row[name].toFixed(1) : row[name].toFixed(0);
    return state === "beyond" ? `more than ${Number((1 / row.smallest_share).toPrecision(3))}` : state;
  };
  const saved = (row) =>
    factor(row, "factor") + (row.low_state ? ` [${factor(row, "low")}, ${factor(row, "high")}]` : "") + ` (n=${row.n})`;

  // ---- tables of the data, arranged once

  const tables = data.tables.map((table, at) => {
    const cells = table.cells.filter((cell) => cell.primary);
    const alike = data.tables.filter((t) => t.key.task === table.key.task && t.key.dataset === table.key.dataset);
    const same = alike.filter((t) => SETTING.every((name) => t.key[name] === table.key[name]));
    const { metric, test_set, minimum_effect } = table.key;
    const more = same.length > 1 ? `, ${metric}, test set ${test_set}, minimum effect ${minimum_effect}` : "";
    return { ...table, id: `t${at + 1}`, primary: cells, title: `${table.key.task} on ${table.key.dataset}${more}` };
  });
  const words = (of) => SETTING.map((name) => of[name]).join(", ");
  const several = unique(tables.map((table) => words(table.key))).length > 1;
  const isFrozen = (of) => /^(linear|attentive|knn)-/.test(of.protocol);
  const sentence = (of) =>
    `Preset ${of.preset}, track ${of.track}, mode ${of.mode}, protocol ${of.protocol}${isFrozen(of) ? " (frozen encoder)" : ""}.`;
  const tableOf = (key) => tables.find((table) => Object.entries(key).every(([name, value]) => table.key[name] === value));
  const marks = (cell) => [
    ...(cell.encoder_modality && cell.modality && cell.encoder_modality !== cell.modality ? [OTHER] : []),
    ...(cell.exposure !== "none" && cell.exposure ? [EXPOSED] : []),
  ];

  // ---- filters: [element, facets] pairs; a facet is a list of values, of which one has to match

  const FACETS = ["task", "share", "encoder", ...SETTING];
  const filtered = [];
  const wanted = {};
  let search = "";
  const fits = (facets) =>
    Object.entries(wanted).every(([name, value]) => !value || !facets[name] || facets[name].includes(value)) &&
    (!search || facets.method === undefined || facets.method.toLowerCase().includes(search));
  const filter = (element, facets) => (filtered.push([element, facets]), element);
  const settingOf = (values) => Object.fromEntries(SETTING.map((name, i) => [name, values[i]]));
  const facetsOf = (key) => Object.fromEntries(["task", ...SETTING].filter((name) => name in key).map((name) => [name, [key[name]]]));

  const apply = () => {
    for (const select of all("select", form)) wanted[select.name] = select.choices[select.selectedIndex];
    search = form.elements.method.value.trim().toLowerCase();
    for (const [element, facets] of filtered) element.hidden = !fits(facets);
    for (const holder of all("[data-holder]").reverse())
      holder.hidden = !holder.querySelector("[data-row]:not([hidden])");
    let shown = 0;
    for (const table of tables) {
      const base = facetsOf(table.key);
      const some = table.primary.some((c) => fits({ ...base, share: [c.fraction], encoder: [c.encoder], method: c.name }));
      document.getElementById(table.id).hidden = !some;
      shown += some;
    }
    for (const link of all("nav a")) link.parentElement.hidden = document.querySelector(link.hash).hidden;
    form.elements.shown.value = `${shown} of ${count(tables.length, "table")}`;
    document.getElementById("nothing").hidden = shown > 0;
    chooseBlock();
  };

  const offer = () => {
    const values = {
      task: unique(tables.map((t) => t.key.task)).sort(),
      share: unique(tables.flatMap((t) => t.fractions)),
      encoder: unique(tables.flatMap((t) => t.primary.map((c) => c.encoder))).sort(),
      ...Object.fromEntries(SETTING.map((name) => [name, unique(tables.map((t) => t.key[name]))])),
    };
    for (const name of FACETS) {
      if (values[name].length < 2 && SETTING.includes(name)) continue;
      const select = make("select", { name }, make("option", {}, "all"), ...values[name].map((value) => make("option", {}, name === "share" ? shareHeader(value) : value)));
      select.choices = ["", ...values[name]];
      form.append(make("label", {}, name === "share" ? "labels" : name, select));
    }
    const options = { type: "search", name: "method", autocomplete: "off", spellcheck: "false", placeholder: "part of its name" };
    form.append(make("label", {}, "method", make("input", options)));
    form.append(make("button", { type: "reset" }, "Show all"));
    form.append(make("output", { name: "shown", id: "shown", role: "status" }));
    form.hidden = false;
  };

  // ---- tables of the page: groups of rows that may be compared; cells are {main, spread, n, value, ...}

  const numberCell = (cell, column) => {
    const parts = [make(cell.bold ? "b" : "span", {}, cell.main)];
    if (cell.spread) parts.push(" ", make("span", { class: "spread" }, cell.spread));
    if (cell.n !== undefined) parts.push(" ", make("span", { class: "n" }, `(${[`n=${cell.n}`, cell.test].filter(Boolean).join(", ")})`));
    if (cell.mark) parts.push(make("span", { class: "mark" }, ` ${cell.mark}`));
    if (cell.whisker) parts.push(cell.whisker);
    const made = make("td", { class: "number", "data-value": cell.value }, ...(cell.open ? [opener(cell, parts)] : parts));
    return column.share ? filter(made, { share: [column.share] }) : made;
  };

  const opener = (cell, parts) => {
    const made = button({ class: "open", "aria-haspopup": "dialog" }, cell.open, ...parts);
    made.setAttribute("aria-label", `${plain(made.textContent).trim()}; ${plain(cell.says)}`);
    return made;
  };

  const named = (name, signs = []) => [
    make("span", { class: "name" }, name),
    ...signs.map((sign) => make("span", { class: "mark" }, ` ${sign}`)),
  ];

  const grid = (kind, label, left, columns, groups) => {
    const heads = left.map((word, i) => make("th", { scope: "col" }, columns[0]?.better && i === 0 ? sorter(word, "name") : word));
    for (const column of columns) {
      const head = make("th", { scope: "col", class: "number" }, column.better ? sorter(column.title, column.better) : column.title);
      heads.push(column.share ? filter(head, { share: [column.share] }) : head);
    }
    const bodies = groups.map(({ title, rows }) => {
      const body = make("tbody", { "data-holder": "" });
      if (title) body.append(make("tr", { class: "group" }, make("th", { colspan: heads.length, scope: "rowgroup" }, make("span", {}, title))));
      rows.forEach((row, place) => {
        const first = make("th", { scope: "row", class: row.dot ? "named" : null }, ...(row.dot ? [dot(row.name)] : []), ...named(row.name, row.marks));
        const made = make("tr", { "data-row": place, "data-method": row.name }, first, ...(row.texts ?? []).map((t) => make("td", {}, t)));
        made.append(...row.cells.map((cell, i) => numberCell(cell, columns[i])));
        body.append(filter(made, { method: row.name, ...(title ? { encoder: [title] } : {}) }));
      });
      return body;
    });
    const whole = make("table", { class: kind }, make("caption", { class: "unseen" }, label), make("thead", {}, make("tr", {}, ...heads)), ...bodies);
    return scrolling(label, whole);
  };

  const sorter = (title, better) =>
    button({ "data-sort": better }, (event) => sort(event.currentTarget.closest("th"), better), title);

  const sort = (header, better) => {
    const first = better === "high" ? "descending" : "ascending";
    const second = first === "descending" ? "ascending" : "descending";
    const before = header.getAttribute("aria-sort");
    const order = before === null ? first : before === first ? second : null;
    const whole = header.closest("table");
    for (const other of all("th[aria-sort]", whole)) other.removeAttribute("aria-sort");
    if (order) header.setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    const value = (row) => row.cells[header.cellIndex].dataset.value;
    const compare = (a, b) => {
      if (!order) return 0;
      if (header.cellIndex === 0) return sign * a.dataset.method.localeCompare(b.dataset.method, "en");
      if (value(a) === undefined || value(b) === undefined) return (value(a) === undefined) - (value(b) === undefined);
      return sign * (value(a) - value(b)); // absent numbers come last
    };
    for (const body of whole.tBodies)
      body.append(...all("tr[data-row]", body).sort((a, b) => compare(a, b) || a.dataset.row - b.dataset.row));
  };

  // groups of a grid: rows of the data by encoder, each made a row of the grid
  const byEncoder = (rows, show, together = (own) => own) =>
    group(rows, (row) => row.encoder).map(([title, own]) => ({ title, rows: together(own).map((row) => ({ dot: true, ...show(row) })) }));

  const byPair = (rows, columns, show) =>
    byEncoder(rows, ([, pair]) => ({
      name: pair[0].method,
      texts: [pair[0].reference],
      marks: pair[0].complete === false ? ["(incomplete)"] : [],
      cells: columns.map(({ share: at }) => {
        const row = pair.find((r) => r.fraction === at);
        return row ? show(row) : { main: "n/a" };
      }),
    }), (own) => group(own, (r) => `${r.reference}\n${r.method}`));

  // ---- one task

  const cellOf = (table, encoder, name, fraction) =>
    table.primary.find((c) => c.encoder === encoder && c.name === name && c.fraction === fraction);

  const task = (table) => {
    const { key, primary } = table;
    const unit = unitName(key.unit);
    const columns = table.fractions.map((at) => ({ title: shareHeader(at), better: key.higher_is_better ? "high" : "low", share: at }));
    const ends = primary.flatMap((c) => [c.low, c.mean, c.high]).filter((v) => v !== null);
    const scale = [Math.min(...ends), Math.max(...ends)];
    const some = primary.some((c) => c.low !== null) && scale[1] > scale[0];
    const score = (cell) => cell === undefined ? { main: "n/a" } : {
      main: number(cell.mean, key.unit), spread: spread(cell, key.unit), n: cell.n, bold: cell.best, mark: cell.tie ? TIE : "",
      value: cell.mean, whisker: some && cell.low !== null ? whisker(cell, scale) : null,
      says: `${cell.name}, ${table.title}, ${cell.encoder}, ${shareHeader(cell.fraction)}`, open: () => openCell(table, cell),
    };
    const groups = byEncoder(primary.filter((c) => c.complete), ([name, cells]) => ({
      name, marks: marks(cells[0]), cells: table.fractions.map((at) => score(cells.find((c) => c.fraction === at))),
    }), (own) => group(own, (c) => c.name));
    const least = key.minimum_effect ? `, or below the minimum effect (${key.minimum_effect})` : "";
    const parts = [make("p", { class: "setting" }, `${sentence(key)} Metric: ${key.metric} (${unit}, ${key.higher_is_better ? "higher" : "lower"} is better${key.minimum_effect ? `; differences below ${key.minimum_effect} are ties` : ""}).`)];
    if (groups.length) parts.push(grid("scores", `${table.title}: ${key.metric} by method and labels`, ["method"], columns, groups));
    parts.push(note(`n = number of seeds. ${table.interval}`));
    if (primary.some((c) => c.low === null && c.n > 1)) parts.push(note("Braces: smallest to largest seed; these cells have no interval."));
    if (primary.some((c) => c.best)) parts.push(note(`Bold: best mean of its encoder and label share. ${TIE}: a tie with it: the paired difference is not beyond p < 0.05 after Holm's correction${least}, or has no interval.`));
    if (primary.some((c) => marks(c).includes(OTHER))) parts.push(note(`${OTHER}: the encoder was pretrained on another modality than this task's input.`));
    for (const c of new Map(primary.filter((c) => marks(c).includes(EXPOSED)).map((c) => [c.name, c])).values())
      parts.push(note(`${EXPOSED} ${c.name}: pretraining has seen test data (${c.exposure}).`));
    if (some) parts.push(note(`Lines: the intervals, drawn from ${number(scale[0], key.unit)} to ${number(scale[1], key.unit)} (${unit}).`));
    if (table.incomplete.length) parts.push(incomplete(table, score));
    if (table.not_used?.length) parts.push(further(table));
    return [...parts, ...pairs(table, columns), ...savings(table, columns), ...costs(table), ...pictures((f) => tableOf(f.subject) === table), provenance(table)];
  };

  const whisker = (cell, [start, end]) => {
    const [low, mean, high] = [cell.low, cell.mean, cell.high].map((v) => ((100 * (v - start)) / (end - start)).toFixed(1));
    const line = make("path", { d: `M${low} 4H${high}M${mean} 0V8`, stroke: data.colours[cell.name] });
    return make("svg", { class: "whisker ink", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, line);
  };

  const listing = (title, items) => make("div", { class: "incomplete", "data-holder": "" }, make("h3", {}, title), make("ul", {}, ...items));

  const incomplete = (table, score) => listing("Incomplete, not ranked", table.incomplete.map(({ encoder, method, missing }) => {
    const cells = table.primary.filter((c) => c.encoder === encoder && c.name === method);
    const lacks = table.fractions.filter((at) => missing[at]).map((at) => `${share(at)}: ${missing[at].length === 1 ? "seed" : "seeds"} ${missing[at].map((r) => r.seed).join(", ")}`);
    const present = cells.map((c) => make("span", { class: "present" }, `${share(c.fraction)}: `, opener(score(c), [`${number(c.mean, table.key.unit)} ${spread(c, table.key.unit)} (n=${c.n})`])));
    const item = make("li", { "data-row": "" }, dot(method), make("b", {}, method), ` on ${encoder}: missing ${lacks.join("; ")}. Present: `, ...present);
    return filter(item, { method, encoder: [encoder], share: [...Object.keys(missing), ...cells.map((c) => c.fraction)] });
  }));

  const further = (table) => listing("Not used: runs that most rows lack", group(table.not_used, (r) => `${r.encoder}\n${r.method}`).map(([, own]) => {
    const [{ method, encoder }] = own;
    const said = own.map((r) => `${share(r.fraction)}, ${runName(r.seed, r.subset)}: ${number(r.value, table.key.unit)}`);
    const item = make("li", { "data-row": "" }, make("b", {}, method), ` on ${encoder}: ${said.join("; ")}`);
    return filter(item, { method, encoder: [encoder], share: own.map((r) => r.fraction) });
  }));

  const part = (title, body, ...notes) => make("div", { "data-holder": "" }, make("h3", {}, title), body, ...notes.map(note));

  const pairs = (table, columns) => {
    const rows = table.differences.filter((d) => d.against === "reference");
    const { key } = table;
    if (!rows.length)
      return table.primary.some((c) => c.method !== "scratch") ? [note("No differences: no scratch or reference row of the same encoder shares seeds.")] : [];
    const show = (row) => {
      const [main, between] = gap(row);
      return {
        main, spread: between, n: row.n, test: row.p_holm === null ? "" : pValue(row.p_holm), bold: row.verdict !== "tie", value: row.difference,
        says: `${row.method} minus ${row.reference}, ${table.title}, ${row.encoder}, ${shareHeader(row.fraction)}`,
        open: () => openDifference(table, row),
      };
    };
    const unit = key.unit === "%" ? "% points" : unitName(key.unit);
    const least = key.minimum_effect ? ` and at least ${key.minimum_effect}` : "";
    const body = grid("differences", `${table.title}: paired differences`, ["method", "minus"], columns, byPair(rows, columns, show));
    const families = unique(rows.map((r) => r.family)).sort((a, b) => a - b);
    return [part("Paired differences", body, `Paired differences over common seeds and test units (${unit}; ${key.higher_is_better ? "positive" : "negative"} is better) with 95 % intervals; n = number of common seeds. p: two-sided, after Holm's correction within a family (one encoder and reference, all methods and label shares: ${families.join(" to ")} comparisons). Bold: better or worse: p < 0.05${least}; all others are ties.`)];
  };

  const savings = (table, columns) => {
    const found = [];
    const covers = (rows) => unique(rows.map((r) => r.kind)).filter((k) => k !== "none").join(" or ") || "nothing (no interval)";
    const labels = table.savings.filter((s) => s.what === "labels");
    const needed = (s) => s.share !== null ? `${s.share < 0.995 ? Number((100 * s.share).toPrecision(2)) : 100} %` : s.factor_state === "not reached" ? "not reached" : `less than ${Number((100 * s.smallest_share).toPrecision(3))} %`;
    if (labels.length) {
      const groups = byEncoder(labels, (s) => ({ name: s.method, texts: [s.reference], cells: [{ main: needed(s) }, { main: saved(s) }] }));
      found.push(part("Labels saved", grid("plain", `${table.title}: labels saved`, ["method", "as good as 100 % labels of"], [{ title: "labels needed" }, { title: "times fewer" }], groups),
        `Labels with which a method is as good as the reference with all of them: monotone interpolation over its label shares (isotonic, then straight on a log axis), nothing beyond what was measured. Brackets: 95 % interval over ${covers(labels)}. n = number of seeds.`));
    }
    const epochs = table.savings.filter((s) => s.what !== "labels");
    if (epochs.length) {
      const plainColumns = columns.map(({ title, share: at }) => ({ title, share: at }));
      const groups = byPair(epochs, columns, (row) => ({ main: saved(row) }));
      found.push(part("Epochs saved", grid("plain", `${table.title}: epochs saved`, ["method", "as good as"], plainColumns, groups),
        `How many times fewer epochs of fine-tuning a method needs to reach the last validation value of the reference at the same label share. The schedule is that of the whole training; a shorter one would end sooner. Brackets: 95 % interval over ${covers(epochs)}; the validation part is taken as given.`));
    }
    return found;
  };

  const costs = (table) => {
    const largest = table.fractions.at(-1);
    const rows = table.cost_quality.filter((p) => p.fraction === largest);
    if (rows.every((p) => p.device_hours === null && p.samples_seen === null)) return [];
    const shown = (value, words, on) => ({ main: value === null ? "not recorded" : words + (on ? ` ${FRONT}` : "") });
    const groups = byEncoder(rows, (p) => ({
      name: p.method,
      cells: [
        { main: number(p.mean, p.unit), spread: spread(p, p.unit), n: p.n },
        shown(p.device_hours, Number(p.device_hours?.toPrecision(3)).toLocaleString("en"), p.front_device_hours),
        shown(p.samples_seen, amount(p.samples_seen), p.front_samples_seen),
      ],
    }));
    const columns = [{ title: shareHeader(largest) }, { title: "device-hours" }, { title: "samples seen" }];
    return [part("Quality beside cost", grid("plain", `${table.title}: quality beside cost`, ["method"], columns, groups),
      `Cost of one run, pretraining and fine-tuning together (mean over seeds; a pretraining that several runs share is counted in each). ${FRONT}: on the Pareto front of its encoder: no method has a better mean at no more cost. Device-hours compare on equal devices only (${table.provenance.devices.join(", ") || "devices not recorded"}).`)];
  };

  const pictures = (belongs) => {
    const shown = data.figures.flatMap((figure, i) => {
      if (!belongs(figure)) return [];
      const image = document.getElementById(`picture-${i}`);
      if (image && image.width < 600) image.className = "narrow";
      const inside = image
        ? scrolling(figure.title, image)
        : make("figcaption", {}, make("a", { href: encodeURI(figure.file) }, figure.title), `. ${figure.caption}`);
      return [filter(make("figure", {}, inside), figure.encoder ? { encoder: [figure.encoder] } : {})];
    });
    return shown.length ? [make("h3", {}, "Figures"), make("div", { class: "figures" }, ...shown)] : [];
  };

  const provenance = (table) => {
    const { "record keys": keys, ...facts } = table.provenance;
    const lines = Object.entries(facts).flatMap(([name, found]) => found.length ? [make("dt", {}, name), make("dd", {}, found.join(", "))] : []);
    return make("details", {}, make("summary", {}, `Provenance and ${count(keys.length, "record key")}`), make("dl", {}, ...lines), make("p", { class: "keys" }, ...keys.flatMap((key) => [make("code", {}, key), " "])));
  };

  // a folded section, built when it is opened first
  const section = (id, title, facets, build, body = []) => {
    const details = make("details", { class: "section" }, make("summary", {}, make("h2", { id: `${id}-title`, tabindex: "-1" }, title), ...body));
    const fill = () => {
      if (details.children.length > 1) return;
      details.append(...build());
      apply();
    };
    details.addEventListener("toggle", () => details.open && fill());
    const kind = id === "published" ? "foreign" : null;
    const whole = make("section", { id, class: kind, "aria-labelledby": `${id}-title` }, details);
    whole.reveal = () => ((details.open = true), fill());
    main.append(facets ? filter(whole, facets) : whole);
  };

  const gist = (table) => {
    const largest = table.fractions.at(-1);
    const best = table.primary.filter((c) => c.fraction === largest && c.best);
    const named = best.map((c) => `${c.name} ${number(c.mean, table.key.unit)} (${c.encoder})`);
    return make("span", { class: "gist" }, [several ? words(table.key) : "", named.length ? `best at ${shareHeader(largest)}: ${named.join(", ")}` : ""].filter(Boolean).join("; "));
  };

  // ---- sections beyond the tasks

  const overTasks = (found) => {
    const parts = [make("p", { class: "setting" }, `${found.setting.slice(0, 3).join(", ")}, protocol ${found.setting[3]}`)];
    const two = (v) => v.toFixed(2).replace(/^-(0\.00)$/, "$1");
    const range = (v) => (v ? two(v.value) + (v.low === null ? "" : ` [${two(v.low)}, ${two(v.high)}]`) : "-");
    if (found.ranks) {
      const references = unique(found.improvements.map((i) => i.reference));
      const columns = [{ title: "average rank", better: "low" }, ...(found.normalised ? [{ title: "normalised score", better: "high" }] : []), ...references.map((name) => ({ title: `P(better than ${name})`, better: "high" }))];
      const rows = found.methods.map((name, i) => ({
        name, dot: true, marks: found.exposed.includes(name) ? [EXPOSED] : [],
        cells: [
          { main: two(found.ranks.average[i]), value: found.ranks.average[i] },
          ...(found.normalised ? [{ main: range(found.normalised[i]), value: found.normalised[i]?.value }] : []),
          ...references.map((r) => found.improvements.find((p) => p.method === name && p.reference === r)?.share).map((v) => ({ main: range(v), value: v?.value })),
        ],
      }));
      const { friedman_p: p, critical_difference: critical, reason } = found.ranks;
      const tested = p === null ? "" : ` Friedman test (F-shaped correction) over ${found.ranks.tasks} tasks: ${pValue(p)}.`;
      const cd = critical === null ? `No critical difference: ${reason}.` : `Critical difference (Nemenyi, 0.05): ${two(critical)}; its power is low with few tasks.`;
      parts.push(part("Ranks and normalised scores", grid("plain", `${found.encoder}: methods over tasks`, ["method"], columns, [{ rows }]),
        `Common to all of them: ${found.tasks.length} of ${count(found.all_tasks.length, "task")}, ${count(found.cells, "cell")} (task and label share), n = ${unique(found.seeds).join(" to ")} seeds each: ${found.tasks.join(", ")}.`,
        `Average rank: 1 is best; by mean score per cell, averaged over the label shares of a task, then over tasks.${tested} ${cd}`,
        found.normalised ? `Normalised score: scratch = 0, imagenet = 1 per cell; interquartile mean over tasks and seeds. Brackets: 95 % stratified bootstrap interval over seeds.${found.guarded.length ? ` Left out, since both ends are less than two seed deviations apart: ${found.guarded.join(", ")}.` : ""}` : `No normalised scores: ${found.normalised_reason}.`,
        ...(references.length ? ["P(better than ...): share of pairs of runs that the method wins; 0.5 = no difference. Brackets: 95 % stratified bootstrap interval over seeds."] : []),
        ...(found.exposed.length ? [`${EXPOSED}: pretraining has seen test data of one of the tasks.`] : [])));
    } else parts.push(note(`No comparison over tasks (${found.all_tasks.join(", ")}): ${found.ranks_reason}.`));
    if (found.paired.length) {
      const rows = found.paired.map((pair) => ({
        name: found.methods[pair.first], dot: true, texts: [found.methods[pair.second]],
        cells: [{ main: Number(pair.p.toPrecision(2)) }, { main: Number(pair.p_holm.toPrecision(2)), bold: pair.p_holm < 0.05 }],
      }));
      parts.push(part("Pairs of methods", grid("plain", `${found.encoder}: pairs of methods over tasks`, ["method", "and"], [{ title: "p" }, { title: "p (Holm)" }], [{ rows }]),
        `Wilcoxon signed-rank tests over tasks (n = ${found.tasks.length}) of the log ratio of errors, averaged over label shares; Holm's correction over ${count(rows.length, "pair")}. Bold: p < 0.05.`));
    } else if (found.ranks) parts.push(note(`No tests of pairs over tasks (Wilcoxon): ${found.paired_reason}.`));
    if (found.left_out.length) parts.push(note(`Not compared over tasks: ${found.left_out.map(([name, why]) => `${name} (${why})`).join("; ")}.`));
    const setting = settingOf(found.setting);
    return [...parts, ...pictures((f) => f.subject.task === undefined && f.subject.encoder === found.encoder && SETTING.every((n) => f.subject[n] === setting[n]))];
  };

  const costTables = () => {
    const shown = (work) => [
      ["pretraining images read", "pretrain_samples_seen", amount, "low"],
      ["pretraining forward passes", "pretrain_forward_passes", amount, "low"],
      ["pretraining device time", "pretrain_device_s", duration, "low"],
      [`${work} runs`, "runs", amount, "high"],
      ["time per run", "wall_s", duration, "low"],
      [`${work} samples/s`, "samples_per_s", amount, "high"],
      ["peak memory", "peak_memory_mb", memory, "low"],
    ];
    const parts = group(data.cost, (row) => row.setting.join("\n")).map(([, rows]) => {
      const setting = settingOf(rows[0].setting), own = shown(isFrozen(setting) ? "probe" : "fine-tuning");
      const columns = own.map(([title, , , better]) => ({ title, better }));
      const groups = byEncoder(rows, (r) => ({ name: r.method, cells: own.map(([, name, say]) => ({ main: say(r[name]), value: r[name] })) }));
      return filter(make("div", {}, make("p", { class: "setting" }, sentence(setting)), grid("costs", `Cost: ${words(setting)}`, ["method"], columns, groups)), facetsOf(setting));
    });
    return [note("Means over records; a pretraining that several cells share is counted in each. Images read: from the data set, the budget. Forward passes: images through encoders. Device time: seconds times devices."), ...parts];
  };

  const published = () => [
    note("As printed in the papers: other data, budgets and recipes, one run each, no intervals. They stand here for orientation and take part in no comparison above."),
    ...data.published_not_comparable.map((paper) => {
      const left = ["method", "dataset", "init", "pretraining data", "backbone", "setting"];
      const rows = paper.rows.map(({ labels: [dataset, method, ...rest], values }) => ({ name: method, texts: [dataset, ...rest], cells: paper.metrics.map((m) => ({ main: values[m] ?? "-" })) }));
      const title = `${paper.task}, ${paper.paper}: ${count(rows.length, "row")}`;
      return make("details", {}, make("summary", {}, title), grid("published", `Published numbers, another protocol: ${title}`, left, paper.metrics.map((m) => ({ title: m })), [{ rows }]));
    }),
  ];

  // ---- the overview: one matrix of methods by tasks; the buttons say who wins each

  const overview = document.getElementById("overview");
  const blocks = data.overview.map((block) => ({
    ...block,
    facets: { encoder: [block.encoder], share: [block.fraction], ...facetsOf(settingOf(block.setting)) },
  }));
  let chosen = blocks.findIndex((block) => block.fraction === blocks[0].fraction);

  const matrix = (block) => {
    const level = (s) => (s === null ? "" : ` ${s < 0 ? "down" : "up"}${Math.abs(s) <= 0.5 ? 0 : Math.abs(s) <= 1 ? 1 : Math.abs(s) <= 2 ? 2 : 3}`);
    const found = block.tasks.map((t) => tableOf(t.table));
    const heads = block.tasks.map((t, i) => {
      const link = button({}, () => jump(`#${found[i].id}`), `${t.title} ${t.higher_is_better ? "↑" : "↓"}`);
      return filter(make("th", { scope: "col", class: "task" }, link), { task: [t.table.task] });
    });
    const rows = block.lines.map((line, place) => {
      const tiles = line.tiles.map((tile, i) => {
        const facets = { task: [block.tasks[i].table.task] };
        if (!tile) return filter(make("td", { class: "tile" }, "–"), facets);
        const cell = cellOf(found[i], block.encoder, line.method, block.fraction);
        const mark = { better: "▲", worse: "▼" }[tile.verdict] ?? "";
        const shown = number(tile.mean, block.tasks[i].unit).replace(/^0\./, ".");
        const value = make(tile.best ? "b" : "span", { class: "value" }, tile.complete ? shown : `(${shown})`);
        const says = `${line.method}, ${block.tasks[i].title}, ${block.labels}${tile.verdict ? `, ${tile.verdict} against scratch` : ""}`;
        const made = opener({ says, open: () => openCell(found[i], cell) }, [value, make("span", { class: "sign" }, mark), make("span", { class: "sign tied" }, tile.tie ? TIE : "")]);
        made.title = `${says}: ${tile.mean.toPrecision(4)} (n=${tile.n})`;
        return filter(make("td", { class: `tile${level(tile.strength)}${tile.best ? " best" : ""}` }, made), facets);
      });
      const rank = make("td", { class: "number" }, line.rank === null ? "–" : line.rank.toFixed(2));
      const lacks = block.lines.some((l) => l.missing) ? [make("td", { class: "number" }, line.missing || "")] : [];
      const head = make("th", { scope: "row", class: "named" }, dot(line.method), ...named(line.method));
      return filter(make("tr", { "data-row": place, "data-method": line.method }, head, make("td", { class: "uses" }, line.uses), rank, ...lacks, ...tiles), { method: line.method });
    });
    const lacking = block.lines.some((l) => l.missing) ? [make("th", { scope: "col", class: "number" }, "missing")] : [];
    const head = make("tr", {}, make("th", { scope: "col" }, "method"), make("th", { scope: "col", class: "uses" }, "uses"), make("th", { scope: "col", class: "number" }, "rank"), ...lacking, ...heads);
    const dense = block.tasks.length > 4 ? " dense" : "";
    const whole = make("table", { class: `matrix${dense}` }, make("caption", { class: "unseen" }, block.title), make("thead", {}, head), make("tbody", {}, ...rows));
    return scrolling(`Overview: ${block.title}`, whole);
  };

  const chooseBlock = () => {
    if (!blocks.length) return;
    if (!fits(blocks[chosen].facets)) chosen = Math.max(0, blocks.findIndex((block) => fits(block.facets)));
    all(".chips button").forEach((button, i) => button.setAttribute("aria-pressed", String(i === chosen)));
    all(".block").forEach((element, i) => (element.hidden = i !== chosen || !fits(blocks[i].facets)));
  };

  const showOverview = () => {
    const chips = blocks.map((block, i) => {
      const setting = several ? [make("small", {}, ` ${block.setting.join(", ")}`)] : [];
      const chip = button({ "aria-pressed": "false" }, () => ((chosen = i), chooseBlock()), make("b", {}, `${block.encoder}, ${block.labels}`), ...setting, make("span", {}, block.answer || "no ranks"));
      return filter(chip, block.facets);
    });
    overview.append(make("div", { class: "chips", role: "group", "aria-label": "Encoder and label share" }, ...chips));
    overview.append(...blocks.map((block) => make("div", { class: "block" }, matrix(block))));
    overview.append(note(`Colour: difference to scratch in half-widths of its 95 % interval (blue better, orange worse). ▲ ▼: better or worse than scratch (p < 0.05 after Holm's correction). Bold: best of its column; ${TIE}: tie with it. Uses: what pretraining had beyond colour pictures. Rank: average over the tasks, for methods that have them all; 1 is best. Missing, (in parentheses): tasks where a method lacks runs. ${count(unique(blocks.map((b) => b.encoder)).length, "encoder")}: compare within one only.`));
  };

  // ---- the address holds the filters and the open record, so that a view can be shared

  let open = null; // key of the first record in the dialog

  const remember = () => {
    const found = new URLSearchParams();
    for (const select of all("select", form)) if (select.selectedIndex) found.set(select.name, select.choices[select.selectedIndex]);
    if (form.elements.method.value.trim()) found.set("method", form.elements.method.value.trim());
    if (open) found.set("record", open);
    history.replaceState(null, "", found.size ? `#${found}` : location.href.split("#")[0]);
  };

  const recall = () => {
    const found = new URLSearchParams(location.hash.slice(1));
    for (const select of all("select", form)) {
      select.selectedIndex = Math.max(0, select.choices.indexOf(found.get(select.name)));
    }
    form.elements.method.value = found.get("method") ?? "";
    apply();
    const key = found.get("record");
    if (!key || key === open) return;
    for (const table of tables) {
      const cell = table.primary.find((c) => c.keys[0] === key);
      if (cell) return openCell(table, cell);
    }
  };

  const jump = (hash) => {
    const place = document.querySelector(hash);
    place.reveal?.();
    place.scrollIntoView();
    (place.querySelector("h2") ?? place).focus({ preventScroll: true });
  };

  // ---- records

  const show = (key, title, place, ...parts) => {
    open = key;
    const close = button({ class: "close", "aria-label": "Close" }, () => dialog.close(), "✕");
    dialog.replaceChildren(make("header", {}, make("h2", { id: "record-title" }, title), close), make("p", { class: "place" }, place), ...parts.flat());
    dialog.scrollTop = 0;
    close.focus();
    remember();
  };
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    open = null;
    dialog.replaceChildren();
    remember();
  });

  const facts = (pairs) => make("dl", {}, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  const runName = (seed, subset) => `seed ${seed}${subset ? `, subset ${subset}` : ""}`;

  // rows of [name, value per run]; where all runs agree the value stands once
  const perRun = (rows, runs, label) => {
    const lines = rows.map(([name, ...values]) => {
      const same = unique(values.map(String)).length === 1 && values.length > 1;
      const cells = same ? [make("td", { colspan: values.length }, values[0])] : values.map((v) => make("td", {}, v));
      return make("tr", {}, make("th", { scope: "row" }, name), ...cells);
    });
    const head = make("thead", {}, make("tr", {}, make("td"), ...runs.map((run) => make("th", { scope: "col" }, run))));
    const body = make("table", { class: "facts" }, head, make("tbody", {}, ...lines));
    return scrolling(label, body);
  };

  const placeOf = (table, cell) => `${table.title}, ${cell.encoder}, ${shareHeader(cell.fraction)}`;

  const openCell = (table, cell) => {
    if (!dialog.open) dialog.showModal(); // before the chart, which is as wide as it
    const unit = cell.unit;
    const runs = cell.seeds.map((seed, i) => runName(seed, cell.subsets[i]));
    const summary = [["mean", `${number(cell.mean, unit)} ${spread(cell, unit)}`], ["interval", cell.low === null ? "none" : `95 %, over ${cell.kind}`], ["n", count(cell.n, "run")]];
    if (cell.sd !== null) summary.push(["smallest to largest run", `${number(cell.minimum, unit)} to ${number(cell.maximum, unit)}`], ["standard deviation over runs", number(cell.sd, unit, 1)]);
    if (cell.t_low !== null && cell.t_low !== undefined) summary.push(["95 % t interval over runs alone", `${number(cell.t_low, unit)} to ${number(cell.t_high, unit)}`]);
    if (cell.stride_mean !== null) summary.push(["mean on the stride subset", number(cell.stride_mean, unit)]);
    const metrics = table.cells.filter((c) => c.keys[0] === cell.keys[0]).map((c) => [`${c.metric} (${unitName(c.unit)} ${c.higher_is_better ? "↑" : "↓"})`, ...c.values.map((v) => number(v, c.unit, 2)), number(c.mean, c.unit, 2)]);
    show(cell.keys[0], cell.name, placeOf(table, cell), note(sentence(table.key)), facts(summary), perRun(metrics, [...runs, "mean"], "Values"), note("↑ higher is better, ↓ lower is better."), convergence([cell], table), about(cell, runs));
  };

  const openDifference = (table, row) => {
    if (!dialog.open) dialog.showModal();
    const both = [row.method, row.reference].map((name) => cellOf(table, row.encoder, name, row.fraction));
    const at = (cell, i) => `${cell.seeds[i]}/${cell.subsets[i]}`;
    const common = both[0].seeds.flatMap((_, i) => both[1].seeds.flatMap((_, k) => (at(both[0], i) === at(both[1], k) ? [[i, k]] : [])));
    const values = common.map(([i, k]) => [both[0].values[i], both[1].values[k]]);
    const lines = [0, 1].map((side) => [both[side].name, ...values.map((pair) => number(pair[side], row.unit, 2))]);
    lines.push(["difference", ...values.map(([a, b]) => signed(a - b, row.unit, 2))]);
    const summary = [["difference", gap(row).join(" ")], ["interval", row.low === null ? "none" : `95 %, over ${row.kind}`], ["n", count(row.n, "common run")]];
    if (row.p !== null) summary.push(["p, after Holm's correction", pValue(row.p_holm)]);
    summary.push(["verdict", row.verdict]);
    const links = both.map((cell) => button({}, () => openCell(table, cell), `Record of ${cell.name}`));
    const runs = common.map(([i]) => runName(both[0].seeds[i], both[0].subsets[i]));
    show(null, `${row.method} minus ${row.reference}`, placeOf(table, row), note(sentence(table.key)), facts(summary), perRun(lines, runs, "Values"), make("p", { class: "links" }, ...links), convergence(both, table));
  };

  const about = (cell, runs) => {
    const found = cell.keys.map((key) => data.records[key]);
    const line = (name, get) => [name, ...found.map((r) => get(r) ?? "–")];
    const flat = (get, prefix = "") => unique(found.flatMap((r) => Object.keys(get(r) ?? {}))).map((name) => line(prefix + name, (r) => {
      const value = get(r)?.[name];
      return value === null || typeof value !== "object" ? value : JSON.stringify(value);
    }));
    const parts = {
      Run: [
        ["record key", ...cell.keys], line("computed from", (r) => r.inputs.join(", ")), ["overrides of the method", cell.config || "none"], ["init", cell.init], ["pretraining data", cell.pretrain_data], ["uses beyond colour pictures", cell.uses || "not recorded"],
        line("pretraining seed", (r) => (r.pretrain_seed >= 0 ? r.pretrain_seed : "not recorded")), ["backbone", cell.backbone], ["modality of the task", cell.modality], ["modality of the encoder", cell.encoder_modality], ["test data seen in pretraining", cell.exposure],
        ...flat((r) => r.selection, "checkpoint: "),
      ],
      Data: [
        ...unique(found.flatMap((r) => Object.keys(r.manifests))).map((name) => line(name, ({ manifests: { [name]: m } }) => m && `${m.n} samples, sha256 ${String(m.sha256).slice(0, 16)}`)),
        line("test units", (r) => `${r.n_units} (${r.interval_unit || "unit not recorded"})`), line("bootstrap resamples", (r) => r.n_replicates),
      ],
      Cost: [
        line("time of the cell", (r) => duration(r.wall_s)), line("of which training", (r) => duration(r.train_wall_s)), line("samples seen", (r) => amount(r.samples_seen)), line("samples/s", (r) => amount(r.samples_per_s)),
        line("share of time waiting for data", (r) => (r.data_wait_share === null ? "–" : `${(100 * r.data_wait_share).toFixed(0)} %`)), line("peak memory", (r) => memory(r.peak_memory_mb)), line("pretraining device time", (r) => duration(r.pretrain_device_s)), line("pretraining images read", (r) => amount(r.pretrain_samples_seen)), line("pretraining forward passes", (r) => amount(r.pretrain_forward_passes)),
      ],
      Provenance: [...flat(({ made: { versions, ...rest } }) => rest), ...flat(({ made }) => made.versions)],
    };
    const titles = unique(found.flatMap((r) => r.steps.map(([title]) => title)));
    for (const title of titles) {
      const steps = found.map((r) => r.steps.find((step) => step[0] === title));
      const names = unique(steps.flatMap((step) => (step ? Object.keys(data.specs[step[3]]) : [])));
      const say = (value) => (value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));
      parts[`Configuration: ${title}`] = [
        ["step key", ...steps.map((step) => step?.[1] ?? "–")], ["seed", ...steps.map((step) => step?.[2] ?? "–")],
        ...names.map((name) => [name, ...steps.map((step) => say(step && data.specs[step[3]][name]))]),
      ];
    }
    return Object.entries(parts).flatMap(([title, rows]) => {
      const whole = rows.map(([name, ...values]) => [name, ...(values.length === runs.length ? values : runs.map(() => values[0]))]);
      const body = perRun(whole, runs, title);
      return title.startsWith("Configuration") ? [make("details", {}, make("summary", {}, title), body)] : [make("h3", {}, title), body];
    });
  };

  // ---- convergence curves

  const DASHES = ["none", "7 3", "2 3", "9 3 2 3", "12 4", "4 2 1 2"];

  const convergence = (cells, table) => {
    const lines = cells.flatMap((cell) => cell.keys.flatMap((key, i) => {
      const curve = data.records[key]?.curve;
      if (!curve) return [];
      const name = `${cells.length > 1 ? `${cell.name}, ` : ""}${runName(cell.seeds[i], cell.subsets[i])}`;
      return [{ name, points: curve[0].map((p, k) => [p, curve[1][k]]), colour: data.colours[cell.name], dash: DASHES[i % DASHES.length] }];
    }));
    return lines.length ? [make("h3", {}, "Convergence"), ...chart(lines, `validation ${table.key.metric} (${unitName(table.key.unit)})`)] : [];
  };

  const ticks = (low, high) => {
    const rough = (high - low) / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5].find((by) => by * power >= rough) ?? 10);
    const steps = Math.ceil(high / step) - Math.floor(low / step);
    return Array.from({ length: steps + 1 }, (_, i) => (Math.floor(low / step) + i) * step);
  };

  const chart = (lines, label) => {
    const width = Math.max(280, Math.min(720, dialog.clientWidth - 48));
    const [height, left, top, bottom] = [260, 52, 22, 40];
    const values = lines.flatMap(({ points }) => points.map((point) => point[1]));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const steps = ticks(least, most > least ? most : least + (Math.abs(least) || 1) / 10);
    const [low, high] = [steps[0], steps.at(-1)];
    const x = (progress) => left + progress * (width - left - 14);
    const y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
    const text = (said, px, py, anchor) => make("text", { x: px, y: py, "text-anchor": anchor }, said);
    const lattice = steps.flatMap((at) => [make("line", { class: "grid", x1: left, x2: x(1), y1: y(at), y2: y(at) }), text(short(at), left - 8, y(at) + 4, "end")]);
    const shares = [0, 0.25, 0.5, 0.75, 1].map((p) => text(`${100 * p}`, x(p), height - bottom + 18, "middle"));
    const names = [text(label, left, 12, "start"), text("fine-tuning progress (% of steps)", x(1), height - 4, "end")];
    const drawn = lines.map(({ name, points, colour, dash }) => {
      const way = points.map(([p, v], i) => `${i ? "L" : "M"}${x(p).toFixed(1)} ${y(v).toFixed(1)}`).join("");
      const dots = points.map(([p, v]) => make("circle", { cx: x(p), cy: y(v), r: 3, fill: colour }, make("title", {}, `${name}, ${short(100 * p)} %: ${short(v)}`)));
      return make("g", {}, make("path", { d: way, stroke: colour, "stroke-dasharray": dash }), ...dots);
    });
    const said = lines.map(({ name, points }) => `${name} ends at ${short(points.at(-1)[1])}`).join(", ");
    const svg = make("svg", { class: "chart", role: "img", "aria-label": `${label}: ${said}`, viewBox: `0 0 ${width} ${height}`, width, height }, ...lattice, ...shares, ...names, make("g", { class: "ink" }, ...drawn));
    const keys = lines.map(({ name, colour, dash }) => make("li", {}, make("svg", { class: "key ink", viewBox: "0 0 28 10", "aria-hidden": "true" }, make("path", { d: "M0 5H28", stroke: colour, "stroke-dasharray": dash })), name));
    return [svg, make("ul", { class: "legend" }, ...keys)];
  };

  // ---- begin

  const held = unique(tables.flatMap((t) => t.primary.flatMap((c) => c.keys)));
  const kinds = { method: (c) => c.method, encoder: (c) => c.encoder };
  const counted = Object.entries(kinds).map(([noun, get]) => count(unique(tables.flatMap((t) => t.primary.map(get))).length, noun));
  document.getElementById("counts").append(plain(`${count(held.length, "score record")}, ${counted.join(", ")}, ${count(unique(tables.map((t) => t.key.task)).length, "task")}. Every number opens its records.`));
  offer();
  showOverview();
  for (const table of tables) section(table.id, table.title, null, () => task(table), [gist(table)]);
  const nav = make("ul");
  main.before(make("nav", { "aria-label": "Contents" }, nav));
  const beyond = [
    ...data.over_tasks.map((found, i) => [`s${i + 1}`, `Over tasks: ${found.encoder}`, "", () => overTasks(found), { ...facetsOf(settingOf(found.setting)), encoder: [found.encoder] }]),
    ...(data.cost.length ? [["cost", "Cost", "", costTables]] : []),
    ...(data.published_not_comparable.length ? [["published", "Published numbers", " (another protocol; not comparable)", published]] : []),
    ...(data.problems.length ? [["problems", "Problems", "", () => [make("ul", {}, ...data.problems.map((problem) => make("li", {}, problem)))]]] : []),
  ];
  for (const [id, title, more, build, facets = null] of beyond) {
    section(id, title + more, facets, build);
    nav.append(make("li", {}, make("a", { href: `#${id}` }, id === "problems" ? `${title} (${data.problems.length})` : title)));
  }
  form.addEventListener("input", () => (apply(), remember()));
  form.addEventListener("reset", () => setTimeout(() => (apply(), remember())));
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const link of all("a[href^='#']"))
    link.addEventListener("click", (event) => {
      event.preventDefault(); // the address belongs to the filters
      jump(link.hash);
    });
  addEventListener("hashchange", recall);
  addEventListener("beforeprint", () => all("main > section").forEach((one) => one.reveal()));
  recall();
}
