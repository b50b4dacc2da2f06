import { html } from "../lib/html.js";

const PATHS = {
  upload: "M12 16V5m0 0L7.5 9.5M12 5l4.5 4.5M4.5 16v2A1.5 1.5 0 0 0 6 19.5h12a1.5 1.5 0 0 0 1.5-1.5v-2",
  download: "M12 5v11m0 0-4.5-4.5M12 16l4.5-4.5M4.5 16v2A1.5 1.5 0 0 0 6 19.5h12a1.5 1.5 0 0 0 1.5-1.5v-2",
  copy: "M9 9h10v10H9zM5 15V5h10",
  check: "m5 12.5 4.5 4.5L19 7.5",
  close: "M6.5 6.5l11 11m0-11-11 11",
  swap: "M4.5 9h13m0 0L14 5.5M17.5 9 14 12.5M19.5 15h-13m0 0L10 11.5M6.5 15l3.5 3.5",
  again: "M19 12a7 7 0 1 1-2.2-5.1M19 4.5V8h-3.5",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 3v2m0 14v2M3 12h2m14 0h2M6 6l1 1m10 10 1 1M6 18l1-1M17 7l1-1",
  moon: "M19.5 14.2A8 8 0 0 1 9.8 4.5a7.8 7.8 0 1 0 9.7 9.7z",
  key: "M8.2 11.8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM11 13 19.5 4.5M15.5 8.5l3 3M18 6l2 2",
  warning: "M12 9v4.5m0 3h0M12 4.2 3.5 19h17z",
  trash: "M5 7h14M10 7V4.8h4V7M7 7l.8 12h8.4L17 7M10.5 10.5v5M13.5 10.5v5",
  edges: "M9 6.5 4 12l5 5.5M15 6.5l5 5.5-5 5.5",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}

export function Mark() {
  return html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
    <path d="M7 5h18v13H7z M11.5 18 8 27 M20.5 18 24 27 M16 18v7" />
  </svg>`;
}
