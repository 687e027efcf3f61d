// Parts of a page that are fetched again, links that load a part, and tables that sort their rows.
"use strict";
(() => {
  async function fetchPart(address, signal) {
    const answer = await fetch(address, { headers: { "X-Part": "1" }, signal, credentials: "same-origin" });
    return answer.text();
  }

  // The server escapes every value, so its answer is as safe as the page that it goes into.
  function put(element, html) {
    const focused = document.activeElement && element.contains(document.activeElement)
      ? [...element.querySelectorAll("a, button, [tabindex]")].indexOf(document.activeElement) : -1;
    element.innerHTML = html;
    if (focused >= 0) {
      const again = element.querySelectorAll("a, button, [tabindex]")[focused];
      if (again) again.focus({ preventScroll: true });
    }
  }

  // ---- parts that are read again -----------------------------------------------------------------------------

  for (const element of document.querySelectorAll("[data-refresh]")) {
    if ("once" in element.dataset) continue;
    const everyMs = Number(element.dataset.everyMs);
    const button = document.querySelector(`[data-pause="${element.id}"]`);
    const state = document.querySelector(`[data-live-state="${element.id}"]`);
    let isPaused = false;
    let timer = 0;
    const tell = (text) => { if (state) state.textContent = text; };
    const later = () => { clearTimeout(timer); timer = setTimeout(again, everyMs); };
    async function again() {
      if (isPaused || document.hidden) { later(); return; }
      try {
        put(element, await fetchPart(element.dataset.refresh));
        tell("live");
      } catch {
        tell("The server does not answer.");
      }
      if (!element.querySelector("[data-over]")) later();
    }
    if (button) {
      button.hidden = false;
      button.addEventListener("click", () => {
        isPaused = !isPaused;
        button.textContent = isPaused ? "Resume" : "Pause";
        tell(isPaused ? "paused" : "live");
      });
    }
    later();
  }

  // ---- links that load a part --------------------------------------------------------------------------------

  document.addEventListener("click", async (event) => {
    const link = event.target.closest && event.target.closest("a[data-part]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    const target = document.getElementById(link.dataset.into);
    try {
      put(target, await fetchPart(link.dataset.part));
      target.focus();
      target.scrollIntoView({ block: "start" });
    } catch {
      location.href = link.href;
    }
  });

  // ---- tables that sort the rows of their page ---------------------------------------------------------------

  const numberOf = (text) => Number(text.replace(/[,\s]/g, "").replace("\u2212", "-"));
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.title = "Sort the rows of this page";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const isDescending = head.getAttribute("aria-sort") === "ascending";
        for (const one of heads) one.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
        const isNumber = head.classList.contains("number");
        const rows = [...table.tBodies[0].rows].filter((row) => row.cells.length === heads.length);
        rows.sort((a, b) => {
          const [x, y] = [a, b].map((row) => row.cells[place].textContent.trim());
          if (!x || !y) return x ? -1 : y ? 1 : 0;
          const order = isNumber ? numberOf(x) - numberOf(y) : x < y ? -1 : x > y ? 1 : 0;
          return isDescending ? -order : order;
        });
        table.tBodies[0].append(...rows);
      });
    });
  }

  window.inspector = { fetchPart, put };
})();
