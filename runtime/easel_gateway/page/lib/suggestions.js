// Instructions to begin with.
import { FAMILIES } from "./families.js";

const DEMO = [
  "make it black and white",
  "make it an old photo",
  "make it night",
  "make it a sunset",
  "make it red",
  "make it green",
  "make it blue",
  "make it a sketch",
  "invert the colors",
  "make it brighter",
];
const INSTRUCTIONS = [
  "make it winter",
  "make it night",
  "turn it into a watercolor painting",
  "make it a pencil sketch",
  "make it look like an old photo",
  "add dramatic light",
];
const DESCRIPTIONS = [
  "a watercolor painting",
  "an oil painting, thick brush strokes",
  "a pencil sketch on paper",
  "a photograph at night, neon light",
  "a winter landscape, snow",
  "a clay figure, studio light",
];

/** For a model that follows instructions, or for one that is told what the result shows. */
export function suggestions(modelId) {
  if (modelId === "easel/demo") return DEMO;
  return FAMILIES[modelId]?.strength ? DESCRIPTIONS : INSTRUCTIONS;
}
