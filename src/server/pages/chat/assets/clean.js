// Text of models and tools as people may see it: terminal sequences gone, marks that hide or turn
// text around made visible.

const SEQUENCES = /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]*[0-~]?/g;
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const UNSEEN = /[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
// Apart, since one class of all three misses what it should find in some browsers.
const JOINS_EMOJI = /(?:\p{Extended_Pictographic}|\ufe0f|[\u{1f3fb}-\u{1f3ff}])$/u;
const PICTOGRAPH = /^\p{Extended_Pictographic}/u;
const JOINED_SCRIPT = /[\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Malayalam}\p{Script=Kannada}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Sinhala}\p{Script=Syriac}\p{Script=Mongolian}]/u;

export function clean(text) {
  let result = String(text ?? "").replace(/\r\n?/g, "\n");
  if (/[\u001b\u0080-\u009f]/.test(result)) result = result.replace(SEQUENCES, "");
  result = result.replace(CONTROLS, "");
  return result.replace(UNSEEN, (mark, at) => {
    const code = mark.codePointAt(0);
    if (code === 0x00ad) return "";
    if (code === 0x200d || code === 0x200c) {
      // Both belong to the spelling of some scripts, and the one to emoji of several parts.
      const before = result.slice(Math.max(0, at - 2), at);
      const after = result.slice(at + 1, at + 3);
      if (code === 0x200d && JOINS_EMOJI.test(before) && PICTOGRAPH.test(after)) return mark;
      if (JOINED_SCRIPT.test(before)) return mark;
    }
    return `⟦U+${code.toString(16).toUpperCase().padStart(4, "0")}⟧`;
  });
}

// One line, not longer than that.
export function line(text, length = 200) {
  const flat = clean(text).replace(/\s+/g, " ").trim();
  return flat.length > length ? `${flat.slice(0, length - 1)}…` : flat;
}
