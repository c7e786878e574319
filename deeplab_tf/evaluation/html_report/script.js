// A viewer for each image: two of its pictures, and a divider between them.
"use strict";
for (const card of document.querySelectorAll(".card:not(.again)")) {
  const viewer = card.querySelector(".viewer");
  const stage = viewer.querySelector(".stage");
  const slider = viewer.querySelector("input[type=range]");
  const pictures = card.querySelectorAll(".strip img");
  const sides = ["left", "right"].map((side) => ({
    image: stage.querySelector("img." + side),
    choice: viewer.querySelector("select.choose-" + side),
  }));

  function show() {
    for (const { image, choice } of sides) {
      const picture = pictures[choice.value];
      image.src = picture.src;
      image.alt = picture.alt;
    }
    move();
  }

  function move() {
    const [left, right] = sides.map(({ choice }) => choice.selectedOptions[0].text);
    stage.style.setProperty("--cut", slider.value + "%");
    slider.setAttribute("aria-valuetext", `${slider.value} % ${left}, the rest ${right}`);
  }

  function follow(event) {
    const box = stage.getBoundingClientRect();
    slider.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    move();
  }

  stage.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
  slider.addEventListener("input", move);
  for (const { choice } of sides) choice.addEventListener("change", show);
  viewer.hidden = false;
  card.classList.add("live");
  show();
}
