// How does the page answer? Photos go to /api/predict one by one; the answers are drawn here.
"use strict";

const known = JSON.parse(document.getElementById("known").textContent);
const element = (id) => document.getElementById(id);
const TOP = 5; // classes shown of a photo
const MOST_PHOTOS = 50; // at a time
const SIDE = 320; // pixels of a drawn image
const OPACITY = 0.7; // of a map over its image
const DARKEST = 0.35, DARKEST_UNDER_WHITE = 0.6; // of the image under a map: its black, from 0 to 1
// From the colour maps of the package's figures: viridis, and orange over white to blue.
const EVIDENCE = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
const FOR_AND_AGAINST = ["#843400", "#d97914", "#f9cf9b", "#ffffff", "#b9d9f5", "#4c96d6", "#0b4d93"];

let shown = []; // the photos whose answers are on the page, to be asked again of another model
let asking = new AbortController(); // ends the questions that nobody waits for any more

const model = () => known.models.find((one) => one.name === element("model").value);
const say = (text) => { element("status").textContent = text; };
const percent = (share) => `${(100 * share).toFixed(1)} %`;

// --- Questions ---

async function ask(photos) {
  asking.abort();
  const { signal } = asking = new AbortController();
  const { name } = model();
  const images = photos.slice(0, MOST_PHOTOS);
  const left = photos.length - images.length;
  let answered = 0;
  shown = images;
  element("answers").replaceChildren();
  element("answers").setAttribute("aria-busy", "true");
  for (const [index, photo] of images.entries()) {
    say(images.length > 1 ? `Photo ${index + 1} of ${images.length} …` : "One moment …");
    const began = performance.now();
    let answer;
    try {
      answer = draw(await predict(photo, name, signal), performance.now() - began);
      answered += 1;
    } catch (error) {
      answer = problem(error.message);
    }
    if (signal.aborted) return;
    element("answers").append(answer);
  }
  element("answers").setAttribute("aria-busy", "false");
  if (images.length === 1 && answered === 1) return say(element("answers").querySelector("h2").textContent);
  say(`${name} answered for ${answered} of ${images.length} ${images.length === 1 ? "photo" : "photos"}.` +
    (left ? ` ${left} more were left out: ${MOST_PHOTOS} are taken at a time.` : ""));
}

async function predict(photo, name, signal) {
  if (photo.size > known.most_bytes) {
    throw new Error(`${photo.name}: more than ${Math.floor(known.most_bytes / 1e6)} MB, the most that is read; shrink it first`);
  }
  let content;
  try {
    content = await photo.arrayBuffer();
  } catch {
    throw new Error(`${photo.name}: it cannot be read; is it a folder, or was it changed? Choose it again.`);
  }
  const form = new FormData();
  form.append("files", new Blob([content]), photo.name);
  let response;
  try {
    response = await fetch(`/api/predict?maps=true&images=true&model=${encodeURIComponent(name)}`, { method: "POST", body: form, signal });
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  const found = await response.json().catch(() => null);
  if (!response.ok) throw new Error(found?.detail ?? `The service answered with ${response.status}.`);
  if (!found) throw new Error(`${photo.name}: the answer broke off; try again.`);
  return found;
}

// --- Answers ---

function problem(message) {
  const article = document.createElement("article");
  article.className = "problem";
  article.setAttribute("role", "alert");
  const text = document.createElement("p");
  text.textContent = message;
  article.append(text);
  return article;
}

function draw(found, milliseconds) {
  const [prediction] = found.predictions;
  const described = known.models.find((one) => one.name === found.model);
  const article = element("answer").content.cloneNode(true).querySelector("article");
  article.querySelector("h2").textContent = `${prediction.photo}: ${prediction.label}, ${percent(prediction.probability)}`;
  article.querySelector(".time").textContent =
    `${found.model} took ${Math.round(1000 * found.seconds)} ms, and the whole answer ${Math.round(milliseconds)} ms.`;
  const [plain, map] = article.querySelectorAll("canvas");
  map.hidden = !prediction.class_maps || described.map_edges.length === 2;
  const image = new Image();
  image.src = prediction.image;
  const show = (label) => {
    for (const button of article.querySelectorAll(".bars button")) {
      button.setAttribute("aria-pressed", String(button.textContent === label));
    }
    image.decode().then(() => {
      drawImage(plain, image);
      if (!map.hidden) drawMap(map, image, prediction, described, label);
    });
    article.querySelector("figcaption").textContent = caption(prediction, described, label);
    map.setAttribute("aria-label", `The class map of ${label} over the image`);
  };
  const likeliest = Object.entries(prediction.probabilities).sort((one, other) => other[1] - one[1]).slice(0, TOP);
  article.querySelector("tbody").append(...likeliest.map(([label, share]) => row(label, share, show)));
  show(likeliest[0][0]);
  return article;
}

function row(label, share, show) {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.title = `Show the class map of ${label}`;
  button.addEventListener("click", () => show(label));
  name.append(button);
  const cell = document.createElement("td");
  const bar = document.createElement("div");
  bar.className = "bar";
  const meter = document.createElement("meter");
  meter.value = share;
  meter.setAttribute("aria-label", `probability of ${label}`);
  const text = document.createElement("span");
  text.textContent = percent(share);
  bar.append(meter, text);
  cell.append(bar);
  line.append(name, cell);
  return line;
}

function caption(prediction, described, label) {
  const side = described.image_size, input = described.input_size;
  const size = `The photo became ${side}×${side} pixels` + (prediction.inverted ? ", light and dark swapped" : "") +
    (input === side ? "" : `, which are resized to ${input}×${input} for the network`);
  if (!prediction.class_maps) return `${size}. ${described.network} has no class maps.`;
  const cells = described.map_edges.length - 1;
  if (cells === 1) return `${size}. The class maps of this model have one cell: they show how strong the evidence is, not where.`;
  const logit = described.pool === "max" ? "the framed, highest cell is its logit" : "the mean of its cells is its logit, and the highest is framed";
  return `${size}. Beside it the class map of ${label}: ${logit}.` + (isSigned(prediction) ? " Blue is for the class, orange against it." : "");
}

const cellsOf = (map) => map.flat();
const isSigned = (prediction) => Object.values(prediction.class_maps).some((map) => cellsOf(map).some((cell) => cell < 0));

function drawImage(canvas, image, darkest = 0) {
  canvas.width = canvas.height = SIDE * (window.devicePixelRatio || 1);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.filter = darkest ? "grayscale(1)" : "none";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.filter = "none";
  context.globalAlpha = darkest;
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return context;
}

function drawMap(canvas, image, prediction, described, label) {
  const signed = isSigned(prediction);
  const context = drawImage(canvas, image, signed ? DARKEST_UNDER_WHITE : DARKEST);
  const side = canvas.width;
  const edges = described.map_edges;
  const colours = signed ? FOR_AND_AGAINST : EVIDENCE;
  const farthest = Math.max(...Object.values(prediction.class_maps).flatMap(cellsOf).map(Math.abs)) || 1;
  const map = prediction.class_maps[label];
  const highest = Math.max(...cellsOf(map));
  let framed = null;
  map.forEach((cells, down) => cells.forEach((cell, across) => {
    const place = [edges[across], edges[down], edges[across + 1] - edges[across], edges[down + 1] - edges[down]].map((part) => part * side);
    context.globalAlpha = OPACITY;
    context.fillStyle = colour(colours, signed ? (cell / farthest + 1) / 2 : cell / farthest);
    context.fillRect(...place);
    if (cell === highest) framed ??= place;
  }));
  context.globalAlpha = 1;
  for (const [width, style] of [[6, "#ffffff"], [3, "#1d2125"]]) {
    context.lineWidth = width * side / SIDE;
    context.strokeStyle = style;
    const [left, top, across, down] = framed;
    const inset = 3 * side / SIDE; // the frame stays within the image
    context.strokeRect(left + inset, top + inset, across - 2 * inset, down - 2 * inset);
  }
}

function colour(colours, share) {
  const place = Math.min(1, Math.max(0, share)) * (colours.length - 1);
  const low = Math.min(Math.floor(place), colours.length - 2);
  const mixed = [1, 3, 5].map((at) => {
    const [from, to] = [colours[low], colours[low + 1]].map((hex) => parseInt(hex.slice(at, at + 2), 16));
    return Math.round(from + (to - from) * (place - low));
  });
  return `rgb(${mixed.join(",")})`;
}

// --- Photos: chosen, dropped, pasted, photographed or drawn ---

for (const id of ["files", "camera"]) {
  element(id).addEventListener("change", (event) => {
    const photos = [...event.target.files];
    event.target.value = ""; // the same photo may be chosen again
    if (photos.length) ask(photos);
  });
}
element("choose").addEventListener("click", () => element("files").click());
element("photograph").addEventListener("click", () => element("camera").click());

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
for (const [kind, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
  window.addEventListener(kind, (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // a photo that misses its place must not replace the page
    element("drop").classList.toggle("over", over);
    if (kind === "drop" && event.dataTransfer.files.length) ask([...event.dataTransfer.files]);
  });
}
window.addEventListener("paste", (event) => {
  const photos = [...(event.clipboardData?.files ?? [])];
  if (photos.length) ask(photos);
  else say("What was pasted is no image.");
});

const canvas = element("canvas");
const pen = canvas.getContext("2d");
let drawing = false;

function clear() {
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
}

canvas.addEventListener("pointerdown", (event) => {
  drawing = true;
  canvas.setPointerCapture(event.pointerId);
  Object.assign(pen, { lineWidth: 16, lineCap: "round", lineJoin: "round", strokeStyle: "#000000" });
  pen.beginPath();
  pen.moveTo(...place(event));
  pen.lineTo(...place(event));
  pen.stroke();
});
canvas.addEventListener("pointermove", (event) => {
  if (!drawing) return;
  pen.lineTo(...place(event));
  pen.stroke();
});
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { drawing = false; });
element("draw").addEventListener("click", () => {
  const hidden = element("drawing").toggleAttribute("hidden");
  element("draw").setAttribute("aria-expanded", String(!hidden));
});
element("clear").addEventListener("click", clear);
element("classify").addEventListener("click", () => {
  canvas.toBlob((blob) => ask([new File([blob], "drawing.png", { type: "image/png" })]), "image/png");
});
clear();

// --- The model ---

function describe() {
  const { labels } = model();
  const some = labels.slice(0, 20).join(", ");
  element("classes").textContent = `It knows ${labels.length} classes: ${some}${labels.length > 20 ? ", …" : "."}`;
}

element("model").addEventListener("change", () => {
  describe();
  if (shown.length) ask(shown);
});
describe();
