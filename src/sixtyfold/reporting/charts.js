"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const views = new Map();

  // Colours of text and lines come from the style sheet, so light and dark are told once.
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const narrow = () => window.innerWidth < 640;
  const config = () => ({
    background: colour("--card"),
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: {
      labelColor: colour("--soft"), titleColor: colour("--soft"), titleFontWeight: "normal",
      domainColor: colour("--line"), tickColor: colour("--line"), gridColor: colour("--line"),
      labelFontSize: narrow() ? 10 : 12, titleFontSize: 12, labelLimit: narrow() ? 165 : 320,
    },
    legend: {
      labelColor: colour("--ink"), titleColor: colour("--soft"), titleFontWeight: "normal",
      labelFontSize: 12, labelLimit: narrow() ? 240 : 400,
      orient: "top", columns: narrow() ? 1 : 7,
    },
    text: { color: colour("--ink") },
  });

  const draw = async (box) => {
    const name = box.dataset.chart;
    const drawn = await window.vegaEmbed(box, charts[name], {
      ast: true, // expressions are interpreted: the page allows no eval
      mode: "vega-lite",
      renderer: "svg",
      config: config(),
      tooltip: { theme: dark.matches ? "dark" : "light" },
      actions: false,
    });
    views.set(name, drawn.view);
    box.dataset.drawn = "yes";
  };

  // One after the other with a pause between, so that the page answers meanwhile.
  const drawAll = async () => {
    for (const box of document.querySelectorAll("[data-chart]")) {
      await draw(box);
      await new Promise((resolve) => setTimeout(resolve));
    }
  };

  const save = (address, name) => {
    const link = document.createElement("a");
    link.href = address;
    link.download = name;
    link.click();
  };
  const picture = async (name, kind) =>
    save(await views.get(name).toImageURL(kind, kind === "png" ? 2 : 1), `${name}.${kind}`);
  const numbers = (name) => {
    const rows = charts[name].data.values;
    const columns = Object.keys(rows[0] || {});
    window.sixtyfoldSaveCsv(name, columns, rows.map((row) => columns.map((key) => row[key])));
  };

  const tools = (holder) => {
    const name = holder.dataset.tools;
    const about = holder.parentElement.querySelector("figcaption").textContent;
    const ways = { PNG: () => picture(name, "png"), SVG: () => picture(name, "svg"), CSV: () => numbers(name) };
    for (const [kind, act] of Object.entries(ways)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = kind;
      button.setAttribute("aria-label", `${kind}: save this ${kind === "CSV" ? "chart's data" : "chart"}. ${about}`);
      button.addEventListener("click", act);
      holder.append(button);
    }
  };

  const later = (act) => requestAnimationFrame(() => setTimeout(act));
  document.querySelectorAll("[data-tools]").forEach(tools);
  later(drawAll);
  dark.addEventListener("change", drawAll);
})();
