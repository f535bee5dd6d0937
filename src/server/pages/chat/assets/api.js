// Talks to the server. Every change carries the word that stands in the page.

const word = document.querySelector("meta[name=atelier-action]").content;

export class Refused extends Error {
  constructor(status, body) {
    super(body?.message || `the server answered ${status}`);
    this.status = status;
    this.code = body?.code || "";
    this.hint = body?.hint || "";
  }
}

async function answer(response) {
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(`chat/api/${path}`, options);
  } catch {
    throw new Refused(0, { message: "The server cannot be reached.", hint: "Is it still running? Try again." });
  }
  return answer(response);
}

export const get = (path) => ask(path, {});

export const post = (path, body) => ask(path, {
  method: "POST",
  headers: { "content-type": "application/json", "x-atelier-action": word },
  body: JSON.stringify(body ?? {}),
});

export const upload = (file, name) => ask("files", {
  method: "POST",
  headers: { "content-type": "application/octet-stream", "x-atelier-action": word, "x-file-name": encodeURIComponent(name) },
  body: file,
});

// Follows an answer from behind an event; a cut stream goes on by itself where it was.
export function follow(turn, after, onEvent, onEnd) {
  const source = new EventSource(`chat/api/turns/${turn}/events?after=${after}`);
  source.onmessage = (message) => onEvent(JSON.parse(message.data));
  source.addEventListener("end", () => {
    source.close();
    onEnd();
  });
  source.onerror = () => {
    // A refusal is no break: the browser does not try again.
    if (source.readyState === EventSource.CLOSED) onEnd();
  };
  return () => source.close();
}
