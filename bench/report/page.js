"use strict";
// Shows what the JSON in this page says: the overview, folded sections of tables, and sheets behind numbers.
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");
  const form = document.getElementById("filters");
  const dialog = document.getElementById("record");

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
    element.append(...children.flat().map((child) => (child instanceof Node ? child : plain(child))));
    return element;
  };
  const button = (attributes, click, ...children) => {
    const made = make("button", { type: "button", ...attributes }, ...children);
    made.addEventListener("click", click);
    return made;
  };
  const scrolling = (label, child) =>
    make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, child);
  const notes = (lines) => lines.map((line) => make("p", { class: "note" }, line));
  const list = (items) => make("ul", {}, ...items.map((item) => make("li", {}, item)));
  const definitions = (pairs) =>
    make("dl", {}, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
  const unique = (values) => [...new Set(values)];
  const dot = (name) =>
    make("svg", { class: "dot ink", viewBox: "0 0 10 10", "aria-hidden": "true" },
      make("circle", { cx: 5, cy: 5, r: 4, fill: data.colours[name] ?? "#7A7A7A" }));

  // ---- filters: [element, facets] pairs; of the values of a facet one has to match

  const filtered = [];
  const wanted = {};
  const fits = (facets) =>
    Object.entries(wanted).every(([name, value]) => !value || !facets[name] || facets[name].includes(value)) &&
    (!facets.method || facets.method.toLowerCase().includes(form.elements.method.value.trim().toLowerCase()));
  const filter = (element, facets) => (filtered.push([element, facets]), element);
  const facetsOf = (row) => ({ method: row.method, ...(row.encoder ? { encoder: [row.encoder] } : {}) });

  const shows = (section) => {
    const rows = section.tables.flatMap((table) => table.rows.map((row) => ({ ...table.facets, ...facetsOf(row) })));
    rows.push(...section.incomplete.map(([encoder, method]) => ({ method, encoder: [encoder] })));
    return rows.length ? rows.some((row) => fits({ ...section.facets, ...row })) : fits(section.facets);
  };

  const apply = () => {
    for (const select of all("select", form)) wanted[select.name] = select.choices[select.selectedIndex];
    for (const [element, facets] of filtered) element.hidden = !fits(facets);
    for (const holder of all("[data-holder]").reverse())
      holder.hidden = !holder.querySelector("[data-row]:not([hidden])");
    for (const section of data.sections) document.getElementById(section.id).hidden = !shows(section);
    for (const link of all("nav a")) link.parentElement.hidden = document.querySelector(link.hash).hidden;
    const tasks = all("main > section[id^=t]");
    const shown = tasks.filter((section) => !section.hidden).length;
    form.elements.shown.value = `${shown} of ${count(tasks.length, "table")}`;
    document.getElementById("nothing").hidden = shown > 0;
    chooseBlock();
  };

  const offer = () => {
    for (const [name, choices] of Object.entries(data.filters)) {
      const options = choices.map(([, title]) => make("option", {}, title));
      const select = make("select", { name }, make("option", {}, "all"), ...options);
      select.choices = ["", ...choices.map(([value]) => value)];
      form.append(make("label", {}, name === "share" ? "labels" : name, select));
    }
    const search = { type: "search", name: "method", autocomplete: "off", spellcheck: "false", placeholder: "part of its name" };
    form.append(
      make("label", {}, "method", make("input", search)),
      make("button", { type: "reset" }, "Show all"),
      make("output", { name: "shown", id: "shown", role: "status" }),
    );
    form.hidden = false;
  };

  // ---- tables

  const grid = (table) => {
    const left = table.left.map((word, i) => make("th", { scope: "col" }, i ? word : sorter(word)));
    const right = table.columns.map((column) => {
      const inside = column.section ? button({}, () => jump(`#${column.section}`), column.title) : sorter(column.title);
      return filter(make("th", { scope: "col", class: "number" }, inside), column.facets);
    });
    const bodies = unique(table.rows.map((row) => row.encoder)).map((encoder) => {
      const title = make("th", { colspan: left.length + right.length, scope: "rowgroup" }, make("span", {}, encoder));
      const rows = table.rows.filter((row) => row.encoder === encoder).map((row, place) => {
        const [name, ...more] = row.names;
        const first = make("th", { scope: "row", class: "named" }, dot(row.method), make("span", { class: "name" }, name));
        const numbers = row.entries.map((entry, i) => filter(number(entry), table.columns[i].facets));
        const made = make("tr", { "data-row": place, "data-method": row.method }, first, ...more.map((word) => make("td", {}, word)), ...numbers);
        return filter(made, facetsOf(row));
      });
      return make("tbody", { "data-holder": "" }, ...(encoder ? [make("tr", { class: "group" }, title)] : []), ...rows);
    });
    const caption = make("caption", { class: "unseen" }, table.title);
    const head = make("thead", {}, make("tr", {}, ...left, ...right));
    return scrolling(table.title, make("table", { class: table.kind }, caption, head, ...bodies));
  };

  // the number stands out; interval and n follow it
  const number = (entry) => {
    const [, value, spread = ""] = entry.text.match(/^(.*?)( [[{(].*)?$/s);
    const parts = [make(entry.bold ? "b" : "span", { class: "value" }, value), make("span", { class: "spread" }, spread)];
    const shade = entry.shade ? ` ${entry.shade < 0 ? "down" : "up"}${Math.abs(entry.shade)}` : "";
    const cell = make("td", { class: `number${shade}`, "data-value": entry.value }, ...(entry.sheet ? [] : parts));
    if (entry.sheet) {
      const { title, place } = data.sheets[entry.sheet];
      const label = `${entry.text}; ${title}, ${place}`;
      cell.append(button({ class: "open", "aria-haspopup": "dialog", "aria-label": label, title: label }, () => open(entry.sheet), ...parts));
    }
    return cell;
  };

  const sorter = (title) => button({ class: "sort" }, (event) => sort(event.currentTarget.closest("th")), title);

  // first, second and third click: descending, ascending, as it was; absent numbers come last
  const sort = (header) => {
    const before = header.getAttribute("aria-sort");
    const order = before === null ? "descending" : before === "descending" ? "ascending" : null;
    const table = header.closest("table");
    for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
    if (order) header.setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    const value = (row) => row.cells[header.cellIndex].dataset.value;
    const compare = (a, b) => {
      if (!order) return 0;
      if (header.cellIndex === 0) return sign * a.dataset.method.localeCompare(b.dataset.method, "en");
      if (value(a) === undefined || value(b) === undefined) return (value(a) === undefined) - (value(b) === undefined);
      return sign * (value(a) - value(b));
    };
    for (const body of table.tBodies)
      body.append(...all("tr[data-row]", body).sort((a, b) => compare(a, b) || a.dataset.row - b.dataset.row));
  };

  // ---- sections, filled when they are opened first

  const section = (found) => {
    const gist = found.gist ? [make("span", { class: "gist" }, found.gist)] : [];
    const title = make("h2", { id: `${found.id}-title`, tabindex: "-1" }, found.title);
    const details = make("details", { class: "section" }, make("summary", {}, title, ...gist));
    const fill = () => {
      if (details.children.length > 1) return;
      details.append(...inside(found));
      apply();
    };
    details.addEventListener("toggle", () => details.open && fill());
    const whole = make("section", { id: found.id, "aria-labelledby": title.id }, details);
    whole.reveal = () => ((details.open = true), fill());
    return whole;
  };

  const inside = (found) => [
    ...notes(found.said),
    ...found.tables.map((table) => {
      const heading = table.heading ? [make("h3", {}, table.heading)] : [];
      const rows = table.rows.length ? [grid(table)] : [];
      return filter(make("div", {}, ...heading, ...rows, ...notes(table.notes)), table.facets);
    }),
    ...(found.incomplete.length ? [incomplete(found.incomplete)] : []),
    ...(found.lines.length ? [list(found.lines)] : []),
    ...(found.figures.length ? [make("h3", {}, "Figures"), make("div", { class: "figures" }, ...found.figures.map(picture))] : []),
    ...(found.facts.length ? [make("details", {}, make("summary", {}, "Provenance"), definitions(found.facts))] : []),
  ];

  const incomplete = (rows) => {
    const items = rows.map(([encoder, method, line]) =>
      filter(make("li", { "data-row": "" }, line), { method, encoder: [encoder] }));
    return make("div", { class: "incomplete", "data-holder": "" }, make("h3", {}, "Incomplete, not ranked"), make("ul", {}, ...items));
  };

  const picture = (number) => {
    const figure = data.figures[number];
    const image = document.getElementById(`picture-${number}`);
    const shown = image
      ? scrolling(figure.title, image)
      : make("figcaption", {}, make("a", { href: encodeURI(figure.file) }, figure.title), `. ${figure.caption}`);
    return filter(make("figure", {}, shown), figure.encoder ? { encoder: [figure.encoder] } : {});
  };

  // ---- the overview: a table per block; the buttons say who wins each

  const overview = document.getElementById("overview");
  let chosen = data.overview.findIndex((block) => block.fraction === data.overview[0].fraction);

  const chooseBlock = () => {
    if (!fits(data.overview[chosen].facets)) chosen = Math.max(0, data.overview.findIndex((block) => fits(block.facets)));
    all(".chips button").forEach((chip, i) => chip.setAttribute("aria-pressed", String(i === chosen)));
    all(".block").forEach((element, i) => (element.hidden = i !== chosen || !fits(data.overview[i].facets)));
  };

  const showOverview = () => {
    const several = unique(data.overview.map((block) => block.setting.join())).length > 1;
    const chips = data.overview.map((block, i) => {
      const setting = several ? [make("small", {}, ` ${block.setting.join(", ")}`)] : [];
      const title = make("b", {}, `${block.encoder}, ${block.labels}`);
      const chip = button({}, () => ((chosen = i), chooseBlock()), title, ...setting, make("span", {}, block.answer || "no ranks"));
      return filter(chip, block.facets);
    });
    overview.append(make("div", { class: "chips", role: "group", "aria-label": "Encoder and labels" }, ...chips));
    for (const { table } of data.overview)
      overview.append(make("div", { class: table.columns.length > 6 ? "block dense" : "block" }, grid(table)));
    overview.append(...notes([data.overview_note]));
  };

  // ---- the address holds the filters and the open sheet, so that a view can be shared

  let shownSheet = null;

  const remember = () => {
    const found = new URLSearchParams();
    for (const select of all("select", form)) if (select.selectedIndex) found.set(select.name, select.choices[select.selectedIndex]);
    if (form.elements.method.value.trim()) found.set("method", form.elements.method.value.trim());
    if (shownSheet) found.set("record", shownSheet);
    history.replaceState(null, "", found.size ? `#${found}` : location.href.split("#")[0]);
  };

  const recall = () => {
    const found = new URLSearchParams(location.hash.slice(1));
    for (const select of all("select", form))
      select.selectedIndex = Math.max(0, select.choices.indexOf(found.get(select.name)));
    form.elements.method.value = found.get("method") ?? "";
    apply();
    const key = found.get("record");
    if (key && key !== shownSheet && data.sheets[key]) open(key);
  };

  const jump = (hash) => {
    const place = document.querySelector(hash);
    place.reveal?.();
    place.scrollIntoView();
    (place.querySelector("h2") ?? place).focus({ preventScroll: true });
  };

  // ---- sheets

  const open = (key) => {
    if (!dialog.open) dialog.showModal(); // before the chart, which is as wide as it
    const sheet = data.sheets[key];
    shownSheet = key;
    const close = button({ class: "close", "aria-label": "Close" }, () => dialog.close(), "✕");
    dialog.replaceChildren(
      make("header", {}, make("h2", { id: "record-title" }, sheet.title), close),
      make("p", { class: "place" }, sheet.place),
      ...notes([sheet.said]),
      definitions(sheet.facts),
      perRun(sheet.values, sheet.runs, "Values"),
      make("p", { class: "links" }, ...sheet.links.map(([title, other]) => button({}, () => open(other), title))),
      ...convergence(sheet),
      ...about(sheet),
    );
    dialog.scrollTop = 0;
    close.focus();
    remember();
  };
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    shownSheet = null;
    dialog.replaceChildren();
    remember();
  });

  // rows of [name, value per run]; where all runs agree the value stands once
  const perRun = (rows, runs, label) => {
    const lines = rows.map(([name, ...values]) => {
      const same = values.length > 1 && unique(values).length === 1;
      const cells = same ? [make("td", { colspan: values.length }, values[0])] : values.map((value) => make("td", {}, value));
      return make("tr", {}, make("th", { scope: "row" }, name), ...cells);
    });
    const head = make("thead", {}, make("tr", {}, make("td"), ...runs.map((run) => make("th", { scope: "col" }, run))));
    return scrolling(label, make("table", { class: "facts" }, head, make("tbody", {}, ...lines)));
  };

  // what is known of the records of a sheet: [title, one object per run], side by side
  const about = (sheet) => {
    const records = sheet.keys.map((key) => data.records[key]);
    const say = (value) => (value === undefined || value === null ? "–" : typeof value === "string" ? value : JSON.stringify(value));
    const table = (title, objects) => {
      const names = unique(objects.flatMap((one) => Object.keys(one)));
      return perRun(names.map((name) => [name, ...objects.map((one) => say(one[name]))]), sheet.runs.slice(0, objects.length), title);
    };
    const groups = unique(records.flatMap((record) => Object.keys(record.about)));
    const known = groups.flatMap((title) => [make("h3", {}, title), table(title, records.map((record) => record.about[title]))]);
    const steps = unique(records.flatMap((record) => record.steps.map(([title]) => title)));
    const configurations = steps.map((title) => {
      const objects = records.map((record) => {
        const [, key, seed, place] = record.steps.find((step) => step[0] === title) ?? [];
        return key ? { "step key": key, seed, ...data.specs[place] } : {};
      });
      return make("details", {}, make("summary", {}, `Configuration: ${title}`), table(title, objects));
    });
    return [...known, ...configurations];
  };

  // ---- convergence curves

  const DASHES = ["none", "7 3", "2 3", "9 3 2 3", "12 4", "4 2 1 2"];
  const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format;

  const convergence = (sheet) => {
    const lines = sheet.curves.flatMap(([name, key, method], i) => {
      const curve = data.records[key].curve;
      return curve ? [{ name, points: curve[0].map((p, k) => [p, curve[1][k]]), colour: data.colours[method], dash: DASHES[i % DASHES.length] }] : [];
    });
    return lines.length ? [make("h3", {}, "Convergence"), ...chart(lines, sheet.metric)] : [];
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
    const lattice = steps.flatMap((at) => [
      make("line", { class: "grid", x1: left, x2: x(1), y1: y(at), y2: y(at) }),
      text(short(at), left - 8, y(at) + 4, "end"),
    ]);
    const shares = [0, 0.25, 0.5, 0.75, 1].map((p) => text(`${100 * p}`, x(p), height - bottom + 18, "middle"));
    const names = [text(label, left, 12, "start"), text("fine-tuning progress (% of steps)", x(1), height - 4, "end")];
    const drawn = lines.map(({ name, points, colour, dash }) => {
      const way = points.map(([p, v], i) => `${i ? "L" : "M"}${x(p).toFixed(1)} ${y(v).toFixed(1)}`).join("");
      const dots = points.map(([p, v]) =>
        make("circle", { cx: x(p), cy: y(v), r: 3, fill: colour }, make("title", {}, `${name}, ${short(100 * p)} %: ${short(v)}`)));
      return make("g", {}, make("path", { d: way, stroke: colour, "stroke-dasharray": dash }), ...dots);
    });
    const said = lines.map(({ name, points }) => `${name} ends at ${short(points.at(-1)[1])}`).join(", ");
    const attributes = { class: "chart", role: "img", "aria-label": `${label}: ${said}`, viewBox: `0 0 ${width} ${height}`, width, height };
    const svg = make("svg", attributes, ...lattice, ...shares, ...names, make("g", { class: "ink" }, ...drawn));
    const keys = lines.map(({ name, colour, dash }) => {
      const stroke = make("path", { d: "M0 5H28", stroke: colour, "stroke-dasharray": dash });
      return make("li", {}, make("svg", { class: "key ink", viewBox: "0 0 28 10", "aria-hidden": "true" }, stroke), name);
    });
    return [svg, make("ul", { class: "legend" }, ...keys)];
  };

  // ---- begin

  const counted = ["task", "encoder"].map((name) => count(data.filters[name].length, name));
  document.getElementById("counts").append(plain(`${count(Object.keys(data.records).length, "score record")}, ${counted.join(", ")}. Every number opens its records.`));
  offer();
  showOverview();
  main.append(...data.sections.map(section));
  const more = data.sections.filter((found) => !found.id.startsWith("t"));
  const contents = more.map((found) => make("a", { href: `#${found.id}` }, found.title));
  main.before(make("nav", { "aria-label": "Contents" }, list(contents)));
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
