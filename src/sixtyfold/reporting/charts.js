"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  // Colours of text and lines come from the style sheet, so light and dark are told once.
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const config = () => ({
    background: "transparent",
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: {
      labelColor: colour("--soft"), titleColor: colour("--soft"), titleFontWeight: "normal",
      domainColor: colour("--line"), tickColor: colour("--line"), gridColor: colour("--line"),
      labelFontSize: 12, titleFontSize: 12,
    },
    legend: {
      labelColor: colour("--ink"), titleColor: colour("--soft"), titleFontWeight: "normal",
      labelFontSize: 12, orient: "top",
    },
  });

  const draw = () =>
    document.querySelectorAll("[data-chart]").forEach((box) => {
      window.vegaEmbed(box, data.charts[box.dataset.chart], {
        ast: true, // expressions are interpreted: the page allows no eval
        mode: "vega-lite",
        renderer: "svg",
        config: config(),
        tooltip: { theme: dark.matches ? "dark" : "light" },
        actions: { export: true, source: false, compiled: false, editor: false },
        downloadFileName: box.dataset.chart,
      });
    });

  const choice = (table, index) => {
    const name = data.facts.columns[index];
    const values = [...new Set(data.facts.rows.map((row) => row[index]))].sort();
    const label = document.createElement("label");
    label.textContent = `${name} `;
    const select = document.createElement("select");
    select.append(new Option("all", ""));
    values.forEach((value) => select.append(new Option(String(value), String(value))));
    select.addEventListener("change", () => {
      const column = table.column(index);
      if (select.value === "") column.search("").draw();
      else column.search((cell) => String(cell) === select.value).draw();
    });
    label.append(select);
    return label;
  };

  // Cells are text. DataTables puts what it searches through innerHTML to decode entities, so that
  // is escaped as well.
  const escaped = (value) => {
    const holder = document.createElement("span");
    holder.textContent = value === null ? "" : String(value);
    return holder.innerHTML;
  };
  const cell = (value, type) => {
    if (type === "display") return `<bdi>${escaped(value)}</bdi>`;
    if (type === "filter") return escaped(value);
    return value;
  };
  const kind = (index) =>
    data.facts.rows.every((row) => typeof row[index] !== "string") ? "num" : "string";

  const facts = async () => {
    if (!data.facts) return;
    const text = document.getElementById("datatables").textContent;
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const { jQuery } = await import(address);
    URL.revokeObjectURL(address);
    document.documentElement.classList.toggle("dark", dark.matches);
    const table = jQuery("#facts-table").DataTable({
      data: data.facts.rows,
      columns: data.facts.columns.map((title, index) => ({ title, render: cell, type: kind(index) })),
      deferRender: true,
      autoWidth: false,
      order: [],
      pageLength: 25,
      layout: { topStart: "pageLength", topEnd: "search", bottomStart: "info", bottomEnd: "paging" },
    });
    const filters = document.getElementById("facts-filters");
    data.facts.filters.forEach((index) => filters.append(choice(table, index)));
  };

  draw();
  facts();
  dark.addEventListener("change", () => {
    document.documentElement.classList.toggle("dark", dark.matches);
    draw();
  });
})();
