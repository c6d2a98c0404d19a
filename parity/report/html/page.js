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

async function show(part) {
  await unpack(part);
  part.open = true;
}

function wanted() {
  const id = decodeURIComponent(location.hash.slice(1));
  return [id, parts.find((part) => id === part.id || id.startsWith(part.id + "."))];
}

async function follow() {
  const [id, part] = wanted();
  if (part) {
    await show(part);
    part.scrollIntoView();
  }
  const target = document.getElementById(id);
  if (!target) return;
  if (target.popover) return target.showPopover();
  // A card that the link was in would hide where it leads.
  document.querySelector(":popover-open")?.hidePopover();
  if (target.matches("details")) target.open = true;
  target.scrollIntoView();
}

// Opens the first matrix with this verdict in it.
async function begin(status) {
  const part = document.querySelector(`#matrix [data-statuses~="${status}"]`)?.closest("details.part");
  if (part) await show(part);
}

function sift(root) {
  const word = filter.elements.word.value.trim().toLowerCase();
  const status = filter.elements.status.value;
  for (const table of root.querySelectorAll("table.matrix")) {
    const asked = new Set();
    for (const row of table.querySelectorAll("tr[data-check]")) {
      const found = row.querySelectorAll(status ? "td." + status : "td");
      row.hidden = !found.length || !row.dataset.check.toLowerCase().includes(word);
      if (!row.hidden) for (const cell of found) asked.add(cell.cellIndex);
    }
    table.hidden = !asked.size;
    for (const row of table.rows) for (const cell of [...row.cells].slice(1)) cell.hidden = !asked.has(cell.cellIndex);
  }
  for (const part of root.querySelectorAll("[data-statuses]")) {
    part.closest(".part").hidden = status !== "" && !part.dataset.statuses.split(" ").includes(status);
  }
}

function only(status) {
  filter.elements.status.value = status;
  sift(document);
  begin(status);
}

// A finger finds no Escape key.
function closable(card) {
  if (card.querySelector(".close")) return;
  const button = Object.assign(document.createElement("button"), { className: "close", textContent: "close" });
  button.addEventListener("click", () => card.hidePopover());
  card.prepend(button);
}

for (const part of parts) part.addEventListener("toggle", () => part.open && unpack(part));
for (const chip of document.querySelectorAll("a[data-status]")) chip.addEventListener("click", () => only(chip.dataset.status));
document.addEventListener("beforetoggle", (event) => event.target.popover && closable(event.target), true);
filter.hidden = false;
filter.addEventListener("input", () => sift(document));
filter.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", follow);
(wanted()[1] ? Promise.resolve() : begin(document.querySelector("header").className)).then(follow);
