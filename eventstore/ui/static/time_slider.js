// The slider: each step asks for the book of its moment; an answer that is overtaken is thrown away.
"use strict";
(() => {
  const slider = document.getElementById("slider");
  if (!slider) return;
  const book = document.getElementById("book");
  const text = document.getElementById("slider-text");
  const field = document.getElementById("field-at");
  const curve = document.getElementById("curve");
  const isPosition = slider.dataset.clock === "position";
  const of = (value) => (isPosition ? Number(value) : Date.parse(value));
  const [begin, end] = [of(slider.dataset.begin), of(slider.dataset.end)];
  const patienceMs = 500; // an answer that takes longer is not waited for while the slider moves on
  const steps = Number(slider.max);
  let asking = null; // the request that is under way
  let askedAt = 0;
  let wanted = null; // the moment that is asked for next

  const momentOf = (step) => {
    if (step >= steps) return slider.dataset.end; // to the microsecond
    const value = begin + ((end - begin) * step) / steps;
    return isPosition ? String(Math.round(value)) : new Date(value).toISOString();
  };

  function mark(moment) {
    text.value = moment;
    field.value = moment;
    slider.setAttribute("aria-valuetext", moment);
    if (!isPosition && window.Plotly && curve.data) {
      const line = { type: "line", xref: "x", yref: "paper", x0: moment, x1: moment, y0: 0, y1: 1, line: { width: 1, dash: "dot" } };
      Plotly.relayout(curve, { shapes: [line] });
    }
  }

  // One request at a time, and always the newest moment next: a drag never builds up a queue.
  async function ask() {
    if (asking || wanted === null) return;
    const moment = wanted;
    wanted = null;
    asking = new AbortController();
    askedAt = performance.now();
    try {
      const html = await inspector.fetchPart(`${slider.dataset.source}&at=${encodeURIComponent(moment)}`, asking.signal);
      book.innerHTML = html;
      book.dataset.at = moment;
    } catch (error) {
      if (error.name !== "AbortError") book.innerHTML = "<p class=\"error\" role=\"alert\">The server does not answer.</p>";
    } finally {
      asking = null;
    }
    ask();
  }

  function go(moment) {
    mark(moment);
    wanted = moment;
    if (asking && performance.now() - askedAt > patienceMs) asking.abort();
    ask();
  }

  slider.value = String(end > begin ? Math.round(((of(slider.dataset.at) - begin) / (end - begin)) * steps) : steps);
  mark(slider.dataset.at);
  slider.addEventListener("input", () => go(momentOf(Number(slider.value))));
  curve.addEventListener("drawn", () => {
    mark(field.value);
    curve.on("plotly_click", (event) => {
      const moment = new Date(`${String(event.points[0].x).replace(" ", "T").replace(/Z?$/, "Z")}`).toISOString();
      slider.value = String(Math.round(((Date.parse(moment) - begin) / (end - begin)) * steps));
      go(moment);
    });
  });
})();
