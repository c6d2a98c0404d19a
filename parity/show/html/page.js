// Opens the packed parts of a page when somebody looks, follows links into them, and hides what a filter leaves out.
const parts = [...document.querySelectorAll("details.part")];
const filter = document.getElementById("filter");

async function unpack(part) {
  const held = part.querySelector("script");
  if (!held) return;
  held.remove();
  const bytes = Uint8Array.from(atob(held.textContent), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  part.insertAdjacentHTML("beforeend", await new Response(unpacked).text());
  sift(part);
}

async function follow() {
  const id = decodeURIComponent(location.hash.slice(1));
  const part = parts.find((part) => id === part.id || id.startsWith(part.id + "."));
  if (part) {
    await unpack(part);
    part.open = true;
    part.scrollIntoView();
  }
  const target = document.getElementById(id);
  if (!target) return;
  if (target.popover) target.showPopover();
  else target.scrollIntoView();
}

function sift(root) {
  const word = filter.elements.word.value.trim().toLowerCase();
  const status = filter.elements.status.value;
  for (const row of root.querySelectorAll("table.matrix tr[data-check]")) {
    const named = !word || row.dataset.check.toLowerCase().includes(word);
    row.hidden = !named || (status !== "" && !row.querySelector("td." + status));
  }
  for (const part of root.querySelectorAll("[data-statuses]")) {
    part.closest(".part").hidden = status !== "" && !part.dataset.statuses.split(" ").includes(status);
  }
}

for (const part of parts) part.addEventListener("toggle", () => part.open && unpack(part));
filter.hidden = false;
filter.addEventListener("input", () => sift(document));
filter.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", follow);
follow();
