// Server-sent events out of the body of an answer: EventSource can only GET.

/** The events of `body` (a ReadableStream of bytes), in order, as {event, data}; data is parsed JSON. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      text += value ?? "";
      // A carriage return at the end may be the first half of a line's end.
      const whole = done || !text.endsWith("\r") ? text : text.slice(0, -1);
      const blocks = whole.replace(/\r\n?/g, "\n").split("\n\n");
      const rest = blocks.pop();
      text = rest + text.slice(whole.length);
      for (const block of blocks) {
        const event = parsed(block);
        if (event) yield event;
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  let event = "message";
  const data = [];
  for (const line of block.split("\n")) {
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "event") event = value;
    if (name === "data") data.push(value);
  }
  return data.length ? { event, data: JSON.parse(data.join("\n")) } : null;
}
