// Preact with templates in the place of JSX, so that there is nothing to build.
import { h, render } from "../vendor/preact.js";
import { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.js";
import htm from "../vendor/htm.js";

export const html = htm.bind(h);
export { render, useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState };
