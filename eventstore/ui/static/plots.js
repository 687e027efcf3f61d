// The plots, drawn by plotly.js from the numbers that the server gives.
"use strict";
(() => {
  const options = { displaylogo: false, responsive: true, displayModeBar: false };
  const drawn = [];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function layout(more) {
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
    return {
      paper_bgcolor: colour("--ground"), plot_bgcolor: colour("--ground"), font: { color: colour("--text"), size: 12 },
      margin: { l: 60, r: 16, t: 8, b: 32 }, showlegend: false, hovermode: "closest", dragmode: false,
      ...more, xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis },
    };
  }

  const draws = {
    equity(element, data) {
      const note = document.getElementById("curve-note");
      if (note) note.textContent = data.why || `${data.points.toLocaleString("en")} points`;
      element.hidden = !data.at.length;
      if (!data.at.length) return;
      const line = {
        x: data.at, y: data.equity, type: "scatter", mode: "lines", line: { shape: "hv", color: colour("--accent"), width: 1.5 },
        hovertemplate: "%{x}<br>%{y:,.2f}<extra></extra>",
      };
      Plotly.newPlot(element, [line], layout({ xaxis: { type: "date" }, yaxis: { tickformat: ",.2~f" } }), options);
      element.dispatchEvent(new CustomEvent("drawn"));
    },
    events(element, data) {
      const points = {
        x: data.at, y: data.type, text: data.version, type: "scatter", mode: "markers",
        marker: { color: colour("--accent"), size: 9 }, hovertemplate: "version %{text}<br>%{x}<extra>%{y}</extra>",
      };
      Plotly.newPlot(element, [points], layout({ xaxis: { type: "date" }, yaxis: { type: "category", autorange: "reversed" } }), options);
    },
  };

  async function draw(element) {
    const answer = await fetch(element.dataset.source, { headers: { "X-Part": "1" }, credentials: "same-origin" });
    if (!answer.ok) {
      element.innerHTML = await answer.text();
      return;
    }
    const data = await answer.json();
    drawn.push([element, data]);
    draws[element.dataset.plot](element, data);
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [element, data] of drawn) draws[element.dataset.plot](element, data);
  });
  for (const element of document.querySelectorAll("[data-plot]")) draw(element);
})();
