// Makes a page that has been printed look, on a screen, like its first printed page, for its
// picture. Runs once for each window.
(() => {
  const margins = __MARGINS__;
  const visit = (rules) => {
    for (const rule of rules) {
      if (rule instanceof CSSMediaRule) {
        const words = rule.media.mediaText.split(/\W+/);
        if (words.includes("print")) rule.media.mediaText = "all";
        else if (words.includes("screen")) rule.media.mediaText = "not all";
      } else if (rule instanceof CSSPageRule && rule.selectorText === "") {
        for (const side of ["top", "right", "bottom", "left"]) {
          const own = rule.style.getPropertyValue("margin-" + side);
          if (own) margins[side] = own;
        }
      }
      if (rule.cssRules) visit(rule.cssRules);
    }
  };
  for (const sheet of document.styleSheets) {
    try {
      visit(sheet.cssRules);
    } catch {
      // A sheet that cannot be read changes nothing here.
    }
  }
  // The window for the text has no margins: there, whatever is too wide sticks out.
  if (window.innerWidth !== __WIDTH__) return;
  const style = document.createElement("style");
  style.textContent =
    "html { box-sizing: border-box; min-height: 100vh; overflow: hidden; padding: " +
    [margins.top, margins.right, margins.bottom, margins.left].join(" ") +
    " } :where(html) { background: #fff } html::after { content: ''; position: fixed; left: 0; " +
    "right: 0; bottom: 0; height: " + margins.bottom + "; background: #fff }";
  document.documentElement.append(style);
  if (!document.body) return;
  const isForced = (value) => /^(page|always|all|left|right|recto|verso)$/.test(value);
  // Whatever stands behind a forced break is on the next page.
  const hide = (element) => {
    for (let next = element; next; next = next.nextElementSibling) {
      next.style.setProperty("visibility", "hidden", "important");
    }
  };
  const hideBehind = (element) => {
    for (let at = element; at && at !== document.body; at = at.parentElement) {
      hide(at.nextElementSibling);
    }
  };
  let seen = 0;
  for (const element of document.body.querySelectorAll("*")) {
    if (++seen > 5000) return;
    const computed = getComputedStyle(element);
    if (isForced(computed.breakBefore) && element.previousElementSibling) {
      hide(element);
      return hideBehind(element.parentElement);
    }
    if (isForced(computed.breakAfter)) return hideBehind(element);
  }
})()
