"use strict";
// Draws each plot, in the colours of the page, and again when the page turns light or dark.
const drawn = JSON.parse(document.getElementById("drawn").textContent);
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
function axis(given) {
  return Object.assign({ gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line") }, given);
}
function draw() {
  const lines = [colour("accent"), colour("loss"), colour("gain"), colour("muted")];
  drawn.forEach((plot, number) => {
    const data = plot.data.map((one) => {
      const marker = one.marker && { color: one.marker.color.map(colour) };
      return marker ? Object.assign({}, one, { marker }) : one;
    });
    const layout = Object.assign(
      { height: 320, margin: { l: 70, r: 10, t: 10, b: 40 }, colorway: lines, hovermode: "closest" },
      plot.layout,
      {
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: colour("text"), family: "system-ui, sans-serif" },
        xaxis: axis(plot.layout.xaxis),
        yaxis: axis(plot.layout.yaxis),
      },
    );
    const where = document.getElementById(`plot-${number}`);
    where.replaceChildren();
    Plotly.newPlot(where, data, layout, { displaylogo: false, responsive: true, displayModeBar: false });
  });
}
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
