import { html, render } from "./lib/html.js";
import { App } from "./parts/app.js";

render(html`<${App} />`, document.getElementById("page"));
