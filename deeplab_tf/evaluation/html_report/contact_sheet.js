// Shows only the images that have a class, those with the largest area first.
"use strict";
{
  const list = document.querySelector(".sheet");
  const choice = document.getElementById("choose");
  const cards = [...list.children].map((card) => ({
    card,
    areas: new Map(card.dataset.areas.trim().split(" ").map((part) => part.split(":"))),
  }));

  function show() {
    const area = ({ areas }) => Number(areas.get(choice.value) ?? -1);
    const order = choice.value ? [...cards].sort((one, other) => area(other) - area(one)) : cards;
    let count = 0;
    for (const entry of order) {
      const isShown = !choice.value || entry.areas.has(choice.value);
      entry.card.hidden = !isShown;
      count += isShown;
      list.append(entry.card);
    }
    document.getElementById("shown").textContent = `${count} of ${cards.length} images`;
  }

  choice.addEventListener("change", show);
  document.querySelector(".choice").hidden = false;
}
