// The same request in other languages. No key and no quote is in them: they are copied and shared.
import { key } from "./key.js";

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const python = (text) => JSON.stringify(text).replace(/[\u007f-\uffff]/g, escaped);
const escaped = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
const NUMERIC = new Set([
  "num_images_per_prompt",
  "seed",
  "num_inference_steps",
  "guidance_scale",
  "image_guidance_scale",
  "strength",
]);

function base() {
  return new URL(".", document.baseURI).href.replace(/\/$/, "");
}

/** `fields`: [name, text] pairs; `file`: name of the picture; `maxPrice`: text or "". */
export function curl(fields, file, maxPrice) {
  const parts = [`curl ${base()}/image-to-image`];
  if (key()) parts.push('-H "Authorization: Bearer $EASEL_KEY"');
  if (maxPrice) parts.push(`-H ${shell(`X-Easel-Max-Price: ${maxPrice}`)}`);
  // `--form-string` takes a text as it is: `-F` would read a file for one that begins with @ or <.
  for (const [name, text] of fields) parts.push(`--form-string ${shell(`${name}=${text}`)}`);
  parts.push(`-F ${shell(`image=@"${file.replace(/["\\]/g, "\\$&")}"`)}`);
  return parts.join(" \\\n  ");
}

export function requests(fields, file, maxPrice) {
  const headers = [];
  if (key()) headers.push(`"Authorization": f"Bearer {os.environ['EASEL_KEY']}"`);
  if (maxPrice) headers.push(`"X-Easel-Max-Price": ${python(maxPrice)}`);
  const lines = [
    ...(key() ? ["import os", ""] : []),
    "import requests",
    "",
    `with open(${python(file)}, "rb") as picture:`,
    "    answer = requests.post(",
    `        ${python(`${base()}/image-to-image`)},`,
    ...(headers.length ? [`        headers={${headers.join(", ")}},`] : []),
    "        data={",
    ...fields.map(([name, text]) => `            ${python(name)}: ${python(text)},`),
    "        },",
    `        files={"image": picture},`,
    "        timeout=600,",
    "    )",
    "answer.raise_for_status()",
    `print(answer.json()["images"][0]["url"], answer.headers["X-Easel-Amount"])`,
  ];
  return lines.join("\n");
}

export function livepeer(fields, file) {
  const bearer = key() ? 'os.environ["EASEL_KEY"]' : '"unused"';
  const value = ([name, text]) => (NUMERIC.has(name) ? text : name === "safety_check" ? "False" : python(text));
  return [
    ...(key() ? ["import os", ""] : []),
    "from livepeer_ai import Livepeer",
    "from livepeer_ai.models import components",
    "",
    `with open(${python(file)}, "rb") as file:`,
    `    picture = components.Image(fileName=${python(file)}, content=file.read())`,
    "request = components.BodyGenImageToImage(",
    "    image=picture,",
    ...fields.map((field) => `    ${field[0]}=${value(field)},`),
    ")",
    `with Livepeer(server_url=${python(base())}, http_bearer=${bearer}) as client:`,
    "    answer = client.generate.image_to_image(request=request)",
    "print(answer.image_response.images[0].url)",
  ].join("\n");
}
