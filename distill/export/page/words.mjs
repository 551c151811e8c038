// Where in a text the subwords of BERT's tokenizer (WordPiece) stand, which transformers.js does
// not say. Places are in characters (code points), as in Python.

const DROPPED = /^(?![\t\n\r])[\p{C}\u{FFFD}]$/u;
const MARK = /^[\p{P}!-\/:-@\[-`{-~]$/u;
const ACCENT = /\p{Mn}/gu;
const JOINS = /^[\p{Mn}\p{Me}]$/u;
const CJK = /^[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]$/u;

/** The words of a text: the places of the characters of each. */
function wordsOf(chars, normalizer) {
  const found = [];
  let open = null;
  chars.forEach((char, place) => {
    if (normalizer.clean_text && DROPPED.test(char)) return;
    if (/\s/u.test(char)) {
      open = null;
    } else if (MARK.test(char) || (normalizer.handle_chinese_chars && CJK.test(char))) {
      found.push([place]);
      open = null;
    } else if (open === null) {
      found.push((open = [place]));
    } else {
      open.push(place);
    }
  });
  return found;
}

function normal(char, { lowercase, strip_accents: strip }) {
  const bare = (strip ?? lowercase) ? char.normalize('NFD').replace(ACCENT, '') : char;
  return lowercase ? bare.toLowerCase() : bare;
}

/**
 * The subwords of a text without special tokens: `id`, `start`, `end`, whether one `begins` a
 * word, and that word's end.
 */
export function pieces(tokenizer, normalizer, text) {
  const chars = [...text];
  const joined = (end) => {
    while (end < chars.length && JOINS.test(chars[end])) end += 1;
    return end;
  };
  const found = [];
  for (const word of wordsOf(chars, normalizer)) {
    const written = word.map((place) => chars[place]).join('');
    const { input_ids: ids } = tokenizer(written, { add_special_tokens: false, return_tensor: false });
    const tokens = tokenizer.tokenize(written, { add_special_tokens: false });
    // The places of the characters that normalising leaves.
    const places = word.flatMap((place) => [...normal(chars[place], normalizer)].map(() => place));
    let done = 0;
    tokens.forEach((token, k) => {
      const unknown = token === tokenizer.unk_token;
      const size = unknown ? places.length : [...token.replace(/^##/, '')].length;
      const [start, end] = [places[done], places[Math.min(done + size, places.length) - 1] + 1];
      const wordEnd = joined(places.at(-1) + 1);
      found.push({ id: ids[k], start, end, begins: k === 0, wordEnd });
      done += size;
    });
  }
  const whole = tokenizer(text, { add_special_tokens: false, return_tensor: false }).input_ids;
  if (whole.length !== found.length || whole.some((id, k) => id !== found[k].id)) {
    throw new Error('This text holds signs whose places this page cannot find; distill predict reads it.');
  }
  return found;
}

/** Windows of `size` tokens that share `stride` with the next, as [first, behind the last]. */
export function windows(count, size, stride) {
  const found = [];
  for (let start = 0; start < Math.max(count - stride, 1); start += size - stride) {
    found.push([start, Math.min(start + size, count)]);
  }
  return found;
}

/** The window in which each token has most context, and of equals the first. */
export function owners(count, cut) {
  return Array.from({ length: count }, (_, token) => {
    const context = cut.map(([start, end]) => {
      if (token < start || token >= end) return -1;
      return Math.min(start ? token - start : count, end < count ? end - 1 - token : count);
    });
    return context.indexOf(Math.max(...context));
  });
}
