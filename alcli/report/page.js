"use strict";
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  for (const part of all("[data-script]")) part.hidden = false;

  const copy = document.getElementById("copy");
  if (copy) copy.addEventListener("click", async () => {
    const names = document.getElementById("names").textContent.trim();
    try {
      await navigator.clipboard.writeText(names);
    } catch {
      const field = document.createElement("textarea");
      field.value = names;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    copy.textContent = "Copied";
  });

  const choices = all("select[data-filter]");
  const cards = all("#next-list .card, #rest-list .card");
  const count = document.getElementById("count");
  const filter = () => {
    const wanted = choices.filter((choice) => choice.value);
    let shown = 0;
    for (const card of cards) {
      const fits = wanted.every((choice) => card.dataset[choice.dataset.filter].split("\n").includes(choice.value));
      card.hidden = !fits;
      shown += fits;
    }
    const rest = document.getElementById("rest");
    if (rest && wanted.length) rest.open = true;
    if (count) count.textContent = wanted.length ? `${shown} of ${cards.length} images` : "";
  };
  for (const choice of choices) choice.addEventListener("change", filter);

  const dialog = document.getElementById("zoom");
  if (dialog) {
    const large = document.createElement("img");
    for (const image of all(".frame img")) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `Enlarge: ${image.alt || "nearest annotated image"}`);
      image.replaceWith(button);
      button.append(image);
      button.addEventListener("click", () => {
        large.src = image.src;
        large.alt = image.alt;
        dialog.append(large);
        dialog.showModal();
      });
    }
    dialog.addEventListener("click", () => dialog.close());
  }
})();
