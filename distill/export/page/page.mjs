// The page of one bundle: texts in, prediction and time out; all of it is computed here.
// What is done with the model's outputs is what distill.runtime does; a test compares the two.

import { AutoModel, AutoTokenizer, Tensor, env } from './transformers.mjs';
import { READERS, runner } from './readers.mjs';

const at = (id) => document.getElementById(id);
const about = await (await fetch('about.json')).json();
env.allowLocalModels = true;
env.allowRemoteModels = false;
env.useBrowserCache = false; // another bundle may be at the same address tomorrow
env.useWasmCache = false;
env.localModelPath = new URL('.', location.href).pathname;
if (about.wasm) {
  const file = (end) => new URL(`${about.wasm}.${end}`, location.href).href;
  env.backends.onnx.wasm.wasmPaths = { mjs: file('mjs'), wasm: file('wasm') };
}
const tokenizer = await AutoTokenizer.from_pretrained('model');
const models = {};

async function load(format) {
  models[format] ??= await AutoModel.from_pretrained('model', { dtype: about.formats[format] });
  return models[format];
}

/** What the runtime gives for a text, and the milliseconds it took, tokens included. */
async function predict(text, pair = null, format = Object.keys(about.formats)[0]) {
  const run = runner(await load(format), Tensor);
  const start = performance.now();
  const prediction = await READERS[about.reader].predict({ tokenizer, about, run, text, pair });
  return { prediction, ms: performance.now() - start };
}

async function answer(event) {
  event?.preventDefault();
  at('go').disabled = true;
  at('error').hidden = true;
  try {
    const pair = about.second ? at('pair').value : null;
    const { prediction, ms } = await predict(at('text').value, pair, at('format').value);
    at('answer').replaceChildren(...READERS[about.reader].show(prediction, at('text').value, pair));
    at('time').textContent = `${ms.toFixed(1)} ms`;
  } catch (error) {
    at('answer').replaceChildren();
    at('time').textContent = '';
    at('error').textContent = error.message ?? String(error);
    at('error').hidden = false;
  }
  at('go').disabled = false;
}

document.title = about.name;
at('name').textContent = about.name;
at('about').textContent = about.gives;
at('text').value = about.first;
at('text-name').textContent = about.names[0];
if (about.second !== null) {
  at('second').hidden = false;
  at('pair').value = about.second;
  at('pair-name').textContent = about.names[1];
}
at('format').append(...Object.keys(about.formats).map((format) => new Option(format)));
at('form').addEventListener('submit', answer);
at('format').addEventListener('change', answer);
globalThis.predict = predict;
await predict(about.first, about.second).catch(() => {}); // the first call is slower than all others
await answer();
document.documentElement.dataset.ready = 'yes';
