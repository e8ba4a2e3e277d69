"use strict";
// Long tables: unpacked here, searched and sorted by column, paged by DataTables.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const collator = new Intl.Collator(undefined, { numeric: true });

  // What a spreadsheet would take for a formula is text: at the start of a cell, and after what
  // other languages take for the end of one. Full-width signs start formulas too.
  const formula = /(^|[;,|\t\r\n])(\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])/g;
  const csvCell = (value) => {
    if (typeof value === "number") return String(value);
    const text = value === null || value === undefined ? "" : String(value);
    const safe = text.replace(formula, "$1$2'");
    return /^[\w .]*$/.test(safe) ? safe : `"${safe.replaceAll('"', '""')}"`;
  };
  window.sixtyfoldSaveCsv = (name, columns, rows) => {
    const lines = [columns, ...rows].map((row) => row.map(csvCell).join(","));
    const address = URL.createObjectURL(new Blob(["\ufeff", lines.join("\r\n")], { type: "text/csv" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = `${name}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  };

  const unpack = async (name) => {
    const text = document.getElementById(`packed-${name}`).textContent;
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };

  const cell = (column, row) =>
    column.words ? column.words[column.places[row]] : column.cells[row];

  // Place of every row in the order of one column; rows without a number come last.
  const ranks = (column) => {
    if (column.ranks) return column.ranks;
    if (column.number) {
      column.ranks = Float64Array.from(column.cells, (value) => value === null ? NaN : value);
    } else {
      const words = column.words || [...new Set(column.cells)];
      const place = new Map([...words].sort(collator.compare).map((word, index) => [word, index]));
      const source = column.words ? column.places.map((at) => column.words[at]) : column.cells;
      column.ranks = Float64Array.from(source, (word) => place.get(word));
    }
    return column.ranks;
  };

  const sorted = (rows, table, order) => {
    const asked = order.filter(({ dir }) => dir);
    if (!asked.length) return rows;
    const keys = asked.map(({ column, dir }) => [ranks(table.columns[column]), dir === "asc" ? 1 : -1]);
    return rows.sort((a, b) => {
      for (const [rank, sign] of keys) {
        const [one, other] = [rank[a], rank[b]];
        if (one === other) continue;
        if (Number.isNaN(one) || Number.isNaN(other)) {
          if (Number.isNaN(one) && Number.isNaN(other)) continue;
          return Number.isNaN(one) ? 1 : -1;
        }
        return sign * (one - other);
      }
      return a - b;
    });
  };

  // Each row as one text in small letters, for the search. Made in steps while the page is idle;
  // a search that comes earlier makes the rest at once.
  const lengthen = (table, until) => {
    if (!table.lower) {
      table.texts = [];
      table.lower = table.columns.map((column) => column.words
        ? { words: column.words.map((word) => word.toLowerCase()), places: column.places }
        : { cells: column.cells });
    }
    for (let row = table.texts.length; row < Math.min(until, table.rows); row += 1) {
      table.texts.push(table.lower.map((column) => {
        const value = cell(column, row);
        return value === null ? "" : column.words ? value : String(value).toLowerCase();
      }).join("\n"));
    }
    return table.texts;
  };
  const prepare = async (table) => {
    while (!table.texts || table.texts.length < table.rows) {
      lengthen(table, (table.texts || []).length + 4000);
      await new Promise((resolve) => (window.requestIdleCallback || setTimeout)(resolve));
    }
  };

  const found = (table, search, chosen) => {
    const wanted = search.toLowerCase().split(/\s+/).filter(Boolean);
    const lines = wanted.length ? lengthen(table, table.rows) : null;
    const rows = [];
    for (let row = 0; row < table.rows; row += 1) {
      if (chosen.every(([index, value]) => String(cell(table.columns[index], row)) === value)
          && wanted.every((word) => lines[row].includes(word))) rows.push(row);
    }
    return rows;
  };

  const choice = (name, table, index, changed) => {
    const holder = document.createElement("span");
    const label = document.createElement("label");
    const select = document.createElement("select");
    select.id = `filter-${name}-${index}`;
    label.htmlFor = select.id;
    label.textContent = `${table.columns[index].title} `;
    select.append(new Option("all", ""));
    for (const value of [...table.columns[index].words].sort(collator.compare)) {
      select.append(new Option(value || "–", value));
    }
    select.dataset.column = index;
    select.addEventListener("change", changed);
    holder.append(label, select);
    return holder;
  };

  const choices = (filters) => [...filters.querySelectorAll("select")]
    .filter((select) => select.selectedIndex > 0)
    .map((select) => [Number(select.dataset.column), select.value]);

  // A node and not a text: what others wrote is never parsed as HTML.
  const shown = (value, type) => {
    if (type !== "display") return value;
    const holder = document.createElement("bdi");
    holder.textContent = value === null || value === undefined ? "" : String(value);
    return holder;
  };

  const kind = (column) => {
    if (column.number) return "dt-type-numeric";
    return (column.words || column.cells).some((text) => text.length > 30) ? "sentences" : "";
  };

  const build = async (box) => {
    const name = box.dataset.table;
    const table = await unpack(name);
    const filters = box.querySelector(".filters");
    let kept = [];
    const page = (request, answer) => {
      kept = sorted(found(table, request.search.value, choices(filters)), table, request.order);
      const rows = kept.slice(request.start, request.start + request.length);
      answer({
        draw: request.draw, recordsTotal: table.rows, recordsFiltered: kept.length,
        data: rows.map((row) => table.columns.map((column) => cell(column, row))),
      });
    };
    const view = window.jQuery(box.querySelector("table")).DataTable({
      serverSide: true, ajax: page, searchDelay: 120, autoWidth: false, order: [], pageLength: 25,
      columns: table.columns.map((column) =>
        ({ title: column.title, render: shown, className: kind(column) })),
      layout: { topStart: "pageLength", topEnd: "search", bottomStart: "info", bottomEnd: "paging" },
    });
    table.filters.forEach((index) => filters.append(choice(name, table, index, () => view.draw())));
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Save these rows (CSV)";
    button.addEventListener("click", () => window.sixtyfoldSaveCsv(name,
      table.columns.map(({ title }) => title),
      kept.map((row) => table.columns.map((column) => cell(column, row)))));
    filters.append(button);
    const caption = box.querySelector("caption").textContent;
    box.querySelectorAll("nav").forEach((nav) => nav.setAttribute("aria-label", `Pages of: ${caption}`));
    box.querySelector("[data-waiting]").remove();
    box.dataset.ready = "yes";
    return table;
  };

  const buildAll = async () => {
    const tables = [];
    for (const box of document.querySelectorAll("[data-table]")) tables.push(await build(box));
    for (const table of tables) await prepare(table);
  };
  const theme = () => document.documentElement.classList.toggle("dark", dark.matches);
  theme();
  dark.addEventListener("change", theme);
  requestAnimationFrame(() => setTimeout(buildAll));
})();
