// Looks at a page that has loaded and settled, and says what it shows: how much there is to see,
// what sticks out to the side, and what its head lacks. Bounded in elements and time, since pages
// can have a hundred thousand of them. Touches nothing but running animations, which it ends: a
// page half faded in would be measured as one with faint text.
(() => {
  'use strict';
  const MOST_ELEMENTS = 20000;
  const deadline = performance.now() + 400;
  const root = document.documentElement;
  const body = document.body;

  for (const animation of document.getAnimations?.() ?? []) {
    try { animation.finish(); } catch { /* endless ones have no end */ }
  }

  const transparent = (color) => color === 'transparent' || /[,/]\s*0\s*\)$/.test(color);
  const visible = (element) => (element.checkVisibility
    ? element.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true })
    : element.getClientRects().length > 0);
  // On the page or reachable by scrolling; what lies left of or above its begin is not.
  const reachable = (box) => box.width > 0 && box.height > 0
    && box.right + scrollX > 0 && box.bottom + scrollY > 0;
  const PAINTS = new Set(['IMG', 'VIDEO', 'IFRAME', 'INPUT', 'TEXTAREA', 'SELECT', 'BUTTON', 'METER',
    'PROGRESS', 'OBJECT', 'EMBED', 'AUDIO', 'HR', 'MATH']);
  const SILENT = new Set(['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE', 'TITLE', 'META', 'LINK', 'HEAD', 'BASE']);

  // A canvas of one transparent colour shows nothing. One that cannot be read (another context
  // than 2d, or pictures from elsewhere) counts as painted.
  const canvasPaints = (canvas) => {
    if (!canvas.width || !canvas.height) return false;
    try {
      const small = document.createElement('canvas');
      small.width = small.height = 32;
      const pen = small.getContext('2d', { willReadFrequently: true });
      pen.drawImage(canvas, 0, 0, 32, 32);
      if (pen.getImageData(0, 0, 32, 32).data.some((value) => value !== 0)) return true;
      return !canvas.getContext('2d');
    } catch { return true; }
  };
  const stylePaints = (element, style) => {
    if (style.backgroundImage !== 'none' || style.boxShadow !== 'none') return true;
    if (element !== body && element !== root && !transparent(style.backgroundColor)) return true;
    if (['Top', 'Right', 'Bottom', 'Left'].some((side) => style[`border${side}Style`] !== 'none'
      && parseFloat(style[`border${side}Width`]) > 0)) return true;
    return ['::before', '::after'].some((pseudo) => {
      const content = getComputedStyle(element, pseudo).content;
      return content !== 'none' && content !== 'normal' && content !== '""';
    });
  };

  const name = (element) => {
    const id = element.id ? `#${element.id}` : '';
    const classes = [...element.classList].slice(0, 3).map((one) => `.${one}`).join('');
    return `${element.localName}${id}${classes}`.slice(0, 120);
  };

  const seen = { text: 0, elements: 0, painted: 0, total: 0 };
  let cut = false;
  const ranges = document.createRange();
  // Text and its boxes, through shadow roots too.
  const walk = (parent) => {
    for (const child of parent.childNodes) {
      if (seen.total > MOST_ELEMENTS || performance.now() > deadline) { cut = true; return; }
      if (child.nodeType === Node.TEXT_NODE) {
        const words = child.data.trim();
        if (!words) continue;
        ranges.selectNodeContents(child);
        if (reachable(ranges.getBoundingClientRect())) seen.text += words.length;
      } else if (child.nodeType === Node.ELEMENT_NODE && !SILENT.has(child.tagName)) {
        seen.total += 1;
        if (!visible(child)) {
          // A hidden box can hold shown ones only by `visibility`; `display` and opacity hide all.
          const style = getComputedStyle(child);
          if (style.display === 'none' || style.opacity === '0') continue;
          if (style.display !== 'contents') { walkHidden(child); continue; }
        } else if (reachable(child.getBoundingClientRect())) {
          seen.elements += 1;
          const tag = child.tagName.toUpperCase();
          const paints = PAINTS.has(tag)
            || (tag === 'CANVAS' && canvasPaints(child))
            || (tag === 'SVG' && child.querySelector('path, rect, circle, ellipse, line, polyline, polygon, text, image, use, foreignObject'))
            || stylePaints(child, getComputedStyle(child));
          if (paints) seen.painted += 1;
          if (tag === 'SVG') continue;
        }
        walk(child.shadowRoot ?? child);
        if (child.shadowRoot) walk(child);
      }
    }
  };
  const walkHidden = (parent) => {
    for (const child of parent.querySelectorAll('*')) {
      if (seen.total > MOST_ELEMENTS) { cut = true; return; }
      seen.total += 1;
      if (visible(child) && reachable(child.getBoundingClientRect())) {
        seen.elements += 1;
        if ([...child.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim())) {
          seen.text += child.textContent.trim().length;
        }
      }
    }
  };
  if (body) {
    walk(body);
    const style = getComputedStyle(body);
    if (visible(body) && style.backgroundImage !== 'none') seen.painted += 1;
  }

  // How far one can scroll to the side, and the element that makes it so.
  const overflow = () => {
    const width = root.clientWidth;
    const rootStyle = getComputedStyle(root);
    const bodyStyle = body ? getComputedStyle(body) : rootStyle;
    const clips = (style) => style.overflowX === 'hidden' || style.overflowX === 'clip';
    const clipped = clips(rootStyle) || clips(bodyStyle);
    const excess = Math.max(root.scrollWidth, clipped && body ? body.scrollWidth : 0) - width;
    if (!width || excess <= 1) return null;
    let culprit = null;
    let furthest = width + 1;
    let checked = 0;
    const look = (element) => {
      for (const child of element.children) {
        checked += 1;
        if (checked > MOST_ELEMENTS || performance.now() > deadline + 300) return;
        const style = getComputedStyle(child);
        if (style.display === 'none' || style.position === 'fixed') continue;
        const box = child.getBoundingClientRect();
        const right = box.right + scrollX;
        // What is cut at its own edge makes nothing wider, except by itself.
        const contained = style.overflowX !== 'visible';
        if (style.display !== 'contents' && box.width > 0 && right > furthest && visible(child)) {
          // A page that cuts at its edge may let ornaments run over it, but not what is read or used.
          const ornament = style.position === 'absolute' || style.transform !== 'none'
            || child.getAnimations().length > 0 || child.closest('[aria-hidden="true"]');
          const used = child.matches('a, button, input, select, textarea, table, pre, p, h1, h2, h3, li, label, img')
            || child.textContent.trim() !== '';
          if (!clipped || (used && !ornament)) {
            furthest = right;
            culprit = child;
          }
          if (clipped && ornament) continue;
        }
        if (!contained && child.shadowRoot) look(child.shadowRoot);
        if (!contained && child.tagName.toUpperCase() !== 'SVG') look(child);
      }
    };
    if (body) look(body);
    if (clipped && !culprit) return null;
    // No box sticks out: then text does, such as one long word.
    if (body && !culprit) {
      const texts = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
      while (texts.nextNode() && performance.now() < deadline + 300) {
        const text = texts.currentNode;
        if (!text.data.trim() || SILENT.has(text.parentElement.tagName)) continue;
        ranges.selectNodeContents(text);
        const right = ranges.getBoundingClientRect().right + scrollX;
        if (right > furthest) {
          furthest = right;
          culprit = text.parentElement;
        }
      }
    }
    const box = culprit?.getBoundingClientRect();
    return {
      pixels: Math.round(clipped ? furthest - width : excess),
      culprit: culprit ? name(culprit) : null,
      culprit_width: box ? Math.round(box.width) : null,
      clipped,
    };
  };

  const meta = (wanted) => document.querySelector(`meta[name="${wanted}" i]`)?.content.slice(0, 300) ?? null;
  return {
    text: seen.text,
    elements: seen.elements,
    painted: seen.painted,
    total: document.getElementsByTagName('*').length,
    cut,
    overflow: overflow(),
    title: document.title.trim().slice(0, 200) || null,
    viewport: meta('viewport'),
  };
})()
