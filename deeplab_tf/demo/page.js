// The divider between the two pictures; it stays where it was when the results are replaced.
"use strict";
(() => {
  let cut = "50";

  function move(value) {
    cut = String(Math.min(100, Math.max(0, Math.round(value))));
    for (const stage of document.querySelectorAll("#picture .stage")) {
      stage.style.setProperty("--cut", cut + "%");
    }
    for (const slider of document.querySelectorAll("#picture .cut")) {
      slider.value = cut;
      slider.setAttribute("aria-valuetext", `${cut} % before, the rest after the CRF`);
    }
  }

  function follow(event, stage) {
    const box = stage.getBoundingClientRect();
    move((100 * (event.clientX - box.left)) / box.width);
  }

  document.addEventListener("input", (event) => {
    if (event.target.matches("#picture .cut")) move(event.target.value);
  });
  document.addEventListener("pointerdown", (event) => {
    const stage = event.target.closest("#picture .stage");
    if (!stage) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    follow(event, stage);
  });
  document.addEventListener("pointermove", (event) => {
    const stage = event.target.closest?.("#picture .stage");
    if (stage?.hasPointerCapture(event.pointerId)) follow(event, stage);
  });

  // Screen readers read out what changes in a place that was there before.
  const spoken = document.createElement("div");
  spoken.className = "spoken";
  spoken.setAttribute("role", "status");

  function refresh() {
    if (!spoken.isConnected && document.body) document.body.append(spoken);
    const words = document.querySelector("#details .facts, #picture .problem")?.textContent ?? "";
    if (spoken.textContent !== words) spoken.textContent = words;
    const slider = document.querySelector("#picture .cut");
    if (slider && !slider.hasAttribute("aria-valuetext")) move(cut);
  }

  new MutationObserver(refresh).observe(document.documentElement, { childList: true, subtree: true });
})();
