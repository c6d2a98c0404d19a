// Opens packed parts of the page, follows links into folded ones, filters the checks, copies commands.
const parts = [...document.querySelectorAll("details.part")];
const filter = document.getElementById("filter");

async function unpack(part) {
  const packed = part.querySelector("script");
  if (!packed) return;
  packed.remove();
  const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
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
  // A card that contains the link would cover its target.
  document.querySelector(":popover-open")?.hidePopover();
  for (let fold = target; fold; fold = fold.parentElement.closest("details")) if (fold.matches("details")) fold.open = true;
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
  const active = word !== "" || status !== "";
  for (const table of root.querySelectorAll("table.matrix")) {
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.toLowerCase());
    const columns = new Set();
    for (const row of table.querySelectorAll("tr[data-check]")) {
      const all = row.dataset.check.toLowerCase().includes(word);
      const found = [...row.querySelectorAll(status ? "td." + status : "td")].filter((cell) => all || (cell.matches(":not(.none)") && heads[cell.cellIndex].includes(word)));
      row.hidden = !found.length;
      for (const cell of found) columns.add(cell.cellIndex);
    }
    table.hidden = !columns.size;
    for (const row of table.rows) for (const cell of [...row.cells].slice(1)) cell.hidden = !columns.has(cell.cellIndex);
    const fold = table.closest("details.passes");
    if (fold) {
      fold.hidden = table.hidden;
      fold.open = active && !table.hidden;
    }
  }
  for (const block of root.querySelectorAll("[data-words]")) {
    block.hidden = !block.dataset.words.toLowerCase().includes(word) || (status !== "" && block.dataset.status !== status);
  }
  for (const fold of root.querySelectorAll("details.followers")) {
    fold.hidden = !fold.querySelector("[data-words]:not([hidden])");
    fold.open = active && !fold.hidden;
  }
  for (const part of root.querySelectorAll("[data-statuses]")) {
    part.closest(".part").hidden = status !== "" && !part.dataset.statuses.split(" ").includes(status);
  }
  const rows = [...document.querySelectorAll("tr[data-check]")];
  const left = rows.filter((row) => !row.hidden).length;
  filter.querySelector("output").textContent = active && rows.length ? `${left} of ${rows.length} rows` : "";
}

function only(status) {
  filter.elements.status.value = status;
  sift(document);
  begin(status);
}

// A phone has no Escape key.
function closable(card) {
  if (card.querySelector(".close")) return;
  const button = Object.assign(document.createElement("button"), { className: "close", textContent: "close" });
  button.addEventListener("click", () => card.hidePopover());
  card.prepend(button);
}

// Where there is no clipboard (an old browser, a refused permission), the old command, and where that fails the selection.
async function copy(button) {
  const code = button.parentElement.querySelector("code");
  let done = await (navigator.clipboard?.writeText(code.textContent).then(() => true, () => false) ?? false);
  if (!done) {
    getSelection().selectAllChildren(code);
    done = document.execCommand("copy");
  }
  button.textContent = done ? "copied" : "selected: press Ctrl+C";
  setTimeout(() => (button.textContent = "copy"), 4000);
}

for (const place of document.querySelectorAll(".command")) {
  const button = Object.assign(document.createElement("button"), { className: "copy", type: "button", textContent: "copy" });
  button.setAttribute("aria-live", "polite");
  button.title = "copy the command";
  button.addEventListener("click", () => copy(button));
  place.append(button);
}
for (const part of parts) part.addEventListener("toggle", () => part.open && unpack(part));
for (const chip of document.querySelectorAll("a[data-status]")) chip.addEventListener("click", () => only(chip.dataset.status));
document.addEventListener("beforetoggle", (event) => event.target.popover && closable(event.target), true);
filter.hidden = false;
filter.addEventListener("input", () => sift(document));
filter.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", follow);
(wanted()[1] ? Promise.resolve() : begin(document.querySelector("header").className)).then(follow);
