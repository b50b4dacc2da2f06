// Which controls a model has, and how far each goes: what its manifest allows of what its family can do.
import { FAMILIES } from "./families.js";

const NUMBERS = [
  {
    name: "strength",
    of: "strength",
    label: "Strength",
    step: 0.05,
    shown: [0, 1],
    help: "How much of the picture may change.",
  },
  {
    name: "num_inference_steps",
    of: "steps",
    label: "Steps",
    step: 1,
    shown: [1, 100],
    help: "More steps take longer and show more detail.",
  },
  {
    name: "guidance_scale",
    of: "guidance",
    label: "Guidance",
    step: 0.1,
    shown: [0, 20],
    help: "How closely the result follows your words.",
  },
  {
    name: "image_guidance_scale",
    of: "image_guidance",
    label: "Picture guidance",
    step: 0.1,
    shown: [0, 5],
    help: "How closely the result follows the picture.",
  },
];

/** What a slider shows of a wide span; a number that is typed may go as far as the bounds. */
function reach(least, most, shown, preset) {
  const top = Math.min(most, Math.max(shown[1], preset ?? 0));
  return [least, Math.max(least, top)];
}

/** The numbers that `model` makes use of: {name, label, help, step, least, most, top, preset}; preset may be null. */
export function numbers(model) {
  const family = FAMILIES[model.id];
  return NUMBERS.flatMap(({ name, of, shown, ...rest }) => {
    const declared = model.parameters?.[name];
    const own = family ? family[of] : of === "image_guidance" ? null : [null, 0, Infinity];
    if (!declared || !own) return [];
    const least = Math.max(declared.minimum, own[1]);
    const most = Math.min(declared.maximum, own[2]);
    if (least >= most) return [];
    const wanted = declared.default ?? own[0];
    const preset = wanted === null ? null : Math.min(most, Math.max(least, wanted));
    return [{ name, ...rest, least, most, top: reach(least, most, shown, preset)[1], preset }];
  });
}

/** Settings that nobody has touched. */
export const UNTOUCHED = { negative: "", images: 1, seed: "", safetyCheck: true, values: {}, maxPrice: "" };

/** Whether words of what is not wanted have any effect: they work by guidance. */
export function takesNegative(model) {
  const guidance = numbers(model).find((each) => each.name === "guidance_scale");
  return Boolean(guidance) && guidance.most > 1;
}

/** Whether callers can say if images are looked at. */
export const checkIsOptional = (model) => Boolean(model.safety?.checked && !model.safety.enforced);

/** The form of a request, as [name, text] pairs without the picture, in the order in which they are shown. */
export function fields(model, { prompt, negative, images, seed, safetyCheck, values }) {
  const sent = [
    ["model_id", model.id],
    ["prompt", prompt.trim()],
  ];
  if (images > 1) sent.push(["num_images_per_prompt", String(images)]);
  if (seed !== "") sent.push(["seed", String(seed)]);
  for (const { name, least, most } of numbers(model)) {
    const value = values[name];
    if (value !== undefined) sent.push([name, String(Math.min(most, Math.max(least, value)))]);
  }
  if (negative.trim() && takesNegative(model)) sent.push(["negative_prompt", negative.trim()]);
  if (checkIsOptional(model) && !safetyCheck) sent.push(["safety_check", "false"]);
  return sent;
}
