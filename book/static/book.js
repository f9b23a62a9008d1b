// Sliders that walk through frames, guesses before results, and formulas that scroll. No library, nothing is fetched.
// Without this script the page shows each slider's figure as it stands, and every truth.
"use strict";

// ---- sliders: one moves, the others go back to where they began
function walkThroughFrames(figure) {
  const controls = JSON.parse(figure.querySelector("script").textContent);
  const picture = figure.querySelector("img");
  const still = picture.src;
  const sliders = [...figure.querySelectorAll("input[type=range]")];
  const say = (slider) => {
    const words = controls[slider.dataset.control].values[slider.value];
    slider.nextElementSibling.textContent = words;
    slider.setAttribute("aria-valuetext", words);
  };
  for (const slider of sliders) {
    say(slider);
    slider.addEventListener("input", () => {
      for (const other of sliders) {
        if (other !== slider) other.value = controls[other.dataset.control].start;
        say(other);
      }
      picture.src = controls[slider.dataset.control].images[slider.value] ?? still;
    });
  }
}

// ---- predict, then see: guesses are kept in this browser, and go nowhere else
const SHELF = "ecstfl-guesses";

function readGuesses() {
  try {
    return JSON.parse(localStorage.getItem(SHELF)) ?? {};
  } catch {
    return {};
  }
}

function keepGuess(name, guess) {
  try {
    localStorage.setItem(SHELF, JSON.stringify({ ...readGuesses(), [name]: guess }));
  } catch {
    // a browser that keeps nothing: the guess holds for this page
  }
}

function judge(guess, truth) {
  // the lesson prints "It is 21 %." or "It is: TIM."
  if ("choice" in guess) {
    const right = truth.includes(`It is: ${guess.choice}.`);
    return { right, text: `You said ${guess.choice}: ${right ? "right" : "not this time"}.` };
  }
  const value = parseFloat(/It is (-?[\d.]+)/.exec(truth)?.[1]);
  const right = guess.from <= value && value <= guess.to;
  const text = `You said ${guess.from} to ${guess.to}: the truth is ${right ? "inside" : "outside"}.`;
  return { right, text };
}

function openTruth(form, truth, guess) {
  const reply = form.querySelector(".reply");
  truth.hidden = false;
  form.classList.add("done");
  for (const field of form.elements) field.disabled = true;
  if (!guess) {
    reply.textContent = "The answer stands below.";
    return;
  }
  const said = judge(guess, truth.textContent);
  keepGuess(form.dataset.name, { ...guess, right: said.right });
  reply.textContent = said.text;
  showProgress();
}

function readForm(form) {
  const fields = form.elements;
  if (fields.from) {
    const from = fields.from.valueAsNumber;
    const to = fields.to.valueAsNumber;
    return from <= to ? { from, to } : "Two numbers, please, the smaller one first.";
  }
  const chosen = form.querySelector("input:checked");
  return chosen ? { choice: chosen.value } : "Choose one first.";
}

function askFirst(form) {
  const truth = document.querySelector(`.truth[data-name="${CSS.escape(form.dataset.name)}"]`);
  if (!truth) return;
  const before = readGuesses()[form.dataset.name];
  if (before) {
    openTruth(form, truth, before);
    return;
  }
  truth.hidden = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const guess = readForm(form);
    if (typeof guess === "string") form.querySelector(".reply").textContent = guess;
    else openTruth(form, truth, guess);
  });
  form.querySelector(".skip").addEventListener("click", () => openTruth(form, truth, null));
}

function showProgress() {
  const guesses = Object.values(readGuesses());
  const numbers = guesses.filter((guess) => "from" in guess);
  const choices = guesses.filter((guess) => "choice" in guess);
  const hits = (list) => list.filter((guess) => guess.right).length;
  const lines = [];
  if (numbers.length)
    lines.push(`${hits(numbers)} of your ${numbers.length} intervals held the truth; four in five would be well judged.`);
  if (choices.length) lines.push(`${hits(choices)} of your ${choices.length} choices were right.`);
  if (!lines.length) lines.push("No guess yet: commit to one before a result is shown, and this card begins.");
  for (const card of document.querySelectorAll(".progress-card")) card.textContent = lines.join(" ");
}

// ---- formulas wider than the page scroll, also for whoever has no mouse
async function letWideFormulasScroll() {
  await window.MathJax?.startup?.promise;
  for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
    if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  }
}

for (const moment of ["load", "resize"]) window.addEventListener(moment, letWideFormulasScroll);
document.querySelectorAll("figure.frames").forEach(walkThroughFrames);
document.querySelectorAll("form.guess").forEach(askFirst);
showProgress();
