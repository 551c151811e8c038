// From texts to tokens and from outputs to predictions, as the decoders of distill.tasks do it.

import { pieces, windows, owners } from './words.mjs';

const softmax = (logits) => {
  const most = Math.max(...logits);
  const grown = logits.map((one) => Math.exp(one - most));
  const sum = grown.reduce((a, b) => a + b, 0);
  return grown.map((one) => one / sum);
};
const sigmoid = (logit) => 0.5 * (1 + Math.tanh(logit / 2));
const first = (values) => values.indexOf(Math.max(...values));
const named = (labels, values) => Object.fromEntries(labels.map((label, k) => [label, values[k]]));
const byScore = (found) => [...found].sort((a, b) => b.score - a.score); // stable

/** The model's outputs for one row of tokens: a number a output, or a list of them a token. */
export function runner(model, Tensor) {
  return async ({ ids, types }) => {
    const row = (values) => new Tensor('int64', BigInt64Array.from(values, BigInt), [1, ids.length]);
    const inputs = { input_ids: row(ids), attention_mask: row(ids.map(() => 1)) };
    const { logits } = await model({ ...inputs, token_type_ids: row(types) });
    return logits.tolist()[0];
  };
}

/** A text, or a pair of texts, as tokens: cut to the model's length, of a pair the longer first. */
function encode({ tokenizer, about }, text, pair = null) {
  const plain = { return_tensor: false, return_token_type_ids: true };
  const second = pair === '' ? ' ' : pair; // transformers.js takes an empty text for none
  const { input_ids: ids, token_type_ids: types } = tokenizer(text, { ...plain, text_pair: second });
  const count = (one) =>
    one === null ? 0 : tokenizer(one, { ...plain, add_special_tokens: false }).input_ids.length;
  const sizes = [count(text), count(second)];
  const special = ids.length - sizes[0] - sizes[1];
  const kept = shared([sizes[0], pair === '' ? 0 : sizes[1]], about.max_length - special);
  // One special token stands in front, one at the end, the others between.
  const starts = [1, 1 + sizes[0] + Math.max(special - 2, 0)];
  const dropped = (place) =>
    starts.some((start, k) => {
      const from = about.left ? start : start + kept[k];
      return place >= from && place < from + sizes[k] - kept[k];
    });
  const keep = (values) => values.filter((_, place) => !dropped(place));
  return { ids: keep(ids), types: keep(types ?? ids.map(() => 0)) };
}

/** How many tokens of two texts are kept of so many; as `longest_first` of tokenizers. */
function shared([one, two], room) {
  if (one + two <= room) return [one, two];
  if (two === 0) return [room, 0];
  let [short, long] = one <= two ? [one, two] : [two, one];
  long = short > room ? short : Math.max(short, room - short);
  if (short + long > room) {
    short = Math.floor(room / 2);
    long = short + (room % 2);
  }
  return one <= two ? [short, long] : [long, short];
}

async function logitsOf(given) {
  return given.run(encode(given, given.text, given.about.pair ? given.pair : null));
}

const number = ([logit], { activation, bounds }) => {
  const score = activation === 'sigmoid' ? sigmoid(logit) : logit;
  return bounds ? Math.min(Math.max(score, bounds[0]), bounds[1]) : score;
};

async function vectorOf({ tokenizer, about, run }, text) {
  const vector = await run(encode({ tokenizer, about }, about.prompt + text));
  if (about.settings.normalize === false) return vector;
  const length = Math.max(Math.hypot(...vector), 1e-12);
  return vector.map((one) => one / length);
}

const lines = (text) => text.split('\n').filter((line) => line.trim());
const cosine = (a, b) => {
  const dot = a.reduce((sum, one, k) => sum + one * b[k], 0);
  return dot / Math.max(Math.hypot(...a) * Math.hypot(...b), 1e-12);
};

/** The probabilities of each word's tags, read in the window in which it has most context. */
async function tagShares({ tokenizer, about, run, text }) {
  const found = pieces(tokenizer, about.normalizer, text);
  const { special, labels, max_length: longest, settings } = about;
  const stride = settings.stride ?? Math.floor(longest / 4);
  const cut = windows(found.length, longest - special.front.length - special.back.length, stride);
  const owner = owners(found.length, cut);
  const shares = found.map(() => null);
  for (const [number, [start, end]] of cut.entries()) {
    const inside = found.slice(start, end).map((piece) => piece.id);
    const ids = [...special.front, ...inside, ...special.back];
    const logits = await run({ ids, types: ids.map(() => 0) });
    for (let k = start; k < end; k += 1) {
      if (owner[k] === number) shares[k] = softmax(logits[k - start + special.front.length]);
    }
  }
  return found
    .map((piece, k) => ({ ...piece, tag: labels[first(shares[k])], share: Math.max(...shares[k]) }))
    .filter((piece) => piece.begins);
}

/** The entities that tags spell, as [type, first word, word behind the last]. */
function spans(tags, { strict, closes }) {
  const found = [];
  let [start, type, ended] = [0, null, true];
  [...tags, 'O'].forEach((tag, word) => {
    const [prefix, kind] = tag === 'O' ? ['O', null] : [tag[0], tag.slice(2)];
    if (type !== null && !ended && 'IE'.includes(prefix) && kind === type) {
      ended = prefix === 'E';
      if (strict && ended) found.push([type, start, word + 1]);
      if (strict && ended) type = null;
      return;
    }
    if (type !== null && !(strict && closes)) found.push([type, start, word]);
    const begins = strict ? prefix === 'B' : kind !== null;
    if (strict && prefix === 'S') found.push([kind, word, word + 1]);
    [start, type, ended] = [word, begins ? kind : null, strict ? !begins : 'ESO'.includes(prefix)];
  });
  return found;
}

/** The best answers of one window, and the score of none; scores are log probabilities. */
function answers(logits, context, first, most) {
  const kept = [logits[0], ...logits.slice(first, first + context.length)];
  const [begin, end] = [0, 1].map((k) => softmax(kept.map((one) => one[k])).map(Math.log));
  const found = [];
  for (let i = 0; i < context.length; i += 1) {
    for (let j = i; j < Math.min(i + most, context.length); j += 1) {
      found.push({ start: context[i].start, end: context[j].end, score: begin[i + 1] + end[j + 1] });
    }
  }
  return { found, none: begin[0] + end[0] };
}

async function bestAnswer({ tokenizer, about, run, text, pair }) {
  const { special, settings, max_length: longest } = about;
  const limit = settings.max_question_length ?? Math.min(64, Math.floor(longest / 2));
  const question = pieces(tokenizer, about.normalizer, text).slice(0, limit).map((one) => one.id);
  const context = pieces(tokenizer, about.normalizer, pair);
  const before = [...special.front, ...question, ...special.back];
  const room = longest - before.length - special.back.length;
  const stride = settings.stride ?? Math.floor(longest / 3);
  let [best, none] = [{ start: 0, end: 0, score: -Infinity }, Infinity];
  for (const [start, end] of windows(context.length, room, stride)) {
    const inside = context.slice(start, end);
    const ids = [...before, ...inside.map((one) => one.id), ...special.back];
    const types = ids.map((_, k) => (k < before.length ? 0 : 1));
    const own = answers(await run({ ids, types }), inside, before.length, settings.max_answer_length ?? 30);
    for (const one of own.found) if (one.score > best.score) best = one;
    none = Math.min(none, own.none);
  }
  if (settings.no_answer && best.score - none < (settings.threshold ?? 0)) {
    best = { start: 0, end: 0, score: none };
  }
  return { ...best, answer: [...pair].slice(best.start, best.end).join(''), score: Math.exp(best.score) };
}

// ---- what is shown: nodes made of a prediction ----

function node(kind, name, ...children) {
  const made = document.createElement(kind);
  made.className = name;
  made.append(...children);
  return made;
}

function bar(label, share, chosen, shown = share.toFixed(4)) {
  const row = node('div', chosen ? 'row chosen' : 'row', node('span', '', label), node('span', '', shown));
  const width = Math.round(100 * Math.min(Math.max(share, 0), 1));
  row.style.background = `linear-gradient(90deg, var(--bar) ${width}%, transparent ${width}%)`;
  return row;
}

function bars(probabilities, chosen) {
  return byScore(Object.entries(probabilities).map(([label, score]) => ({ label, score })))
    .map(({ label, score }) => bar(label, score, chosen.includes(label)));
}

/** A text with parts of it marked, each [start, end, what it is]. */
function marked(text, parts) {
  const [chars, shown] = [[...text], []];
  let done = 0;
  for (const [start, end, what] of parts) {
    const part = chars.slice(start, end).join('');
    shown.push(chars.slice(done, start).join(''), node('mark', '', part, node('small', '', what)));
    done = end;
  }
  return [node('p', 'whole', ...shown, chars.slice(done).join(''))];
}

/** Of every reader: `predict` gives what distill.runtime gives, `show` nodes for the page. */
export const READERS = {
  classification: {
    async predict(given) {
      const shares = softmax(await logitsOf(given));
      const { labels } = given.about;
      return { label: labels[first(shares)], probabilities: named(labels, shares) };
    },
    show: (found) => bars(found.probabilities, [found.label]),
  },
  multi_label: {
    async predict(given) {
      const shares = (await logitsOf(given)).map(sigmoid);
      const { labels, settings } = given.about;
      const above = (k) => shares[k] > (settings.thresholds?.[k] ?? 0.5);
      const order = byScore(shares.map((score, k) => ({ k, score })));
      const chosen = order.filter(({ k }) => above(k)).map(({ k }) => labels[k]);
      return { labels: chosen, probabilities: named(labels, shares) };
    },
    show: (found) => bars(found.probabilities, found.labels),
  },
  regression: {
    predict: async (given) => ({ score: number(await logitsOf(given), given.about.settings) }),
    show: (found) => [bar('score', 0, true, found.score.toFixed(4))],
  },
  ranking: {
    async predict(given) {
      const candidates = [];
      for (const [index, text] of lines(given.pair).entries()) {
        const [score] = await given.run(encode(given, given.text, text));
        candidates.push({ index, score, text });
      }
      return { candidates: byScore(candidates) };
    },
    show({ candidates }) {
      if (!candidates.length) return [node('p', 'whole', 'Write the texts to put in order, one a line.')];
      return candidates.map((one, k) => bar(one.text, 0, k === 0, one.score.toFixed(4)));
    },
  },
  vectors: {
    async predict(given) {
      const vector = await vectorOf(given, given.text);
      const similar = [];
      for (const text of lines(given.pair ?? '')) {
        similar.push({ text, score: cosine(vector, await vectorOf(given, text)) });
      }
      return { vector, similar: byScore(similar) };
    },
    show(found) {
      const shown = found.vector.slice(0, 8).map((one) => one.toFixed(3)).join(' ');
      const vector = node('p', 'whole', `[${shown} ... ${found.vector.length}]`);
      return [...found.similar.map((one) => bar(one.text, one.score, false)), vector];
    },
  },
  ner: {
    async predict(given) {
      const words = await tagShares(given);
      const { scheme, strict } = given.about.settings;
      const read = { strict: strict ?? true, closes: scheme === 'bioes' };
      const chars = [...given.text];
      const entities = spans(words.map((word) => word.tag), read).map(([type, from, to]) => {
        const own = words.slice(from, to);
        const [start, end] = [own[0].start, own.at(-1).wordEnd];
        const score = own.reduce((sum, word) => sum + word.share, 0) / own.length;
        return { type, text: chars.slice(start, end).join(''), start, end, score };
      });
      return { entities };
    },
    show: (found, text) =>
      marked(text, found.entities.map((one) => [one.start, one.end, `${one.type} ${one.score.toFixed(3)}`])),
  },
  qa: {
    predict: bestAnswer,
    show(found, _, context) {
      if (found.start === found.end) return [bar('no answer', 0, true, found.score.toFixed(4))];
      return marked(context, [[found.start, found.end, found.score.toFixed(4)]]);
    },
  },
};
