// What the editor's parts share: the models, the picture, the words, the price, the work, what was made before.
import { useCallback, useEffect, useMemo, useState } from "./html.js";
import * as api from "./api.js";
import { fields as fieldsOf, UNTOUCHED } from "./controls.js";
import * as history from "./history.js";
import { usePolled, useQuote } from "./hooks.js";
import { opened, proposed, SAMPLE, sizes as sizesOf } from "./pictures.js";
import { useWork } from "./work.js";

const LOOK = 4000;

/** `askKey`: shows the dialog, and says whether a key was entered. */
export function useStudio(askKey) {
  const catalogue = usePolled(api.models, LOOK);
  const [modelId, setModelId] = useState("");
  const [prompt, say] = useState("");
  const [settings, setSettings] = useState(UNTOUCHED);
  const [chosen, setChosen] = useState(0);
  const change = useCallback((some) => setSettings((last) => ({ ...last, ...some })), []);
  const work = useWork();
  const past = usePast();

  const models = catalogue.value ?? [];
  const model = models.find(({ id }) => id === modelId) ?? models.find(({ state }) => state === "ready") ?? models[0];
  const sizing = usePicture(model?.max_pixels ?? 0, work);
  const { picture, size } = sizing;
  const images = Math.min(settings.images, model?.max_images ?? 1);
  const quote = useQuote(model?.id, model?.generation, size ? size.width * size.height : 0, images);
  const fields = model ? fieldsOf(model, { ...settings, images, prompt }) : [];
  const maxPrice = settings.maxPrice.trim();

  const choose = (id) => {
    setModelId(id);
    change({ values: {} }); // bounds and defaults are the model's
  };
  const run = async () => {
    const headers = {
      ...(quote.value && { "X-Easel-Quote": quote.value.quote }),
      ...(maxPrice && { "X-Easel-Max-Price": maxPrice }),
    };
    const { width, height } = size;
    const { amount, currency = model.price.currency } = quote.value ?? {};
    const what = { name: picture.name, width, height, model: model.id, prompt: prompt.trim() };
    const about = { at: Date.now(), ...what, amount, currency };
    setChosen(0);
    const made = await work.run({ picture, size, fields, headers, about });
    quote.again();
    catalogue.again();
    if (made?.status === 401 && (await askKey("This gateway wants a key."))) return run();
    if (made?.images) await past.keep(made);
  };
  const showAgain = async (edit) => {
    await sizing.open(edit.before, edit.name);
    say(edit.prompt);
    if (models.some(({ id }) => id === edit.model)) choose(edit.model);
    setChosen(0);
    work.show(edit);
  };
  const asked = { prompt, say, settings, change, fields, maxPrice };
  return { catalogue, models, model, choose, sizing, asked, quote, work, run, past, showAgain, chosen, setChosen };
}

/** The picture, and the size in which it is sent. What was made of the last one goes with it. */
function usePicture(maxPixels, work) {
  const [picture, setPicture] = useState(null);
  const [side, resize] = useState(null);
  const sizes = useMemo(() => (picture && maxPixels ? sizesOf(picture, maxPixels) : []), [picture, maxPixels]);
  const size = sizes.find((each) => each.side === side) ?? proposed(sizes);
  const open = async (file, name) => {
    try {
      setPicture(await opened(file, name));
      resize(null);
      work.stop();
      work.show(null);
    } catch (problem) {
      work.fail(problem);
    }
  };
  const remove = () => {
    work.stop();
    work.show(null);
    setPicture(null);
  };
  const sample = async () => {
    const answer = await fetch(SAMPLE).catch(() => null);
    if (answer?.ok) await open(await answer.blob(), "cat.png");
  };
  return { picture, sizes, size, resize, open, remove, sample };
}

function usePast() {
  const [edits, setEdits] = useState([]);
  const look = async () => setEdits(await history.edits());
  useEffect(() => void look(), []);
  const keep = async (edit) => setEdits(await history.keep(edit));
  const forget = (id) => history.forget(id).then(look);
  const clear = () => history.clear().then(look);
  return { edits, keep, forget, clear };
}
