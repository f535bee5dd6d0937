// Pages written for the third major version of Tailwind's script set `tailwind.config`. The fourth,
// which follows this, takes its theme as CSS: what pages usually set is translated.
(() => {
  const style = () => {
    let element = document.querySelector('style[data-tailwind-config]');
    if (!element) {
      element = document.createElement('style');
      element.type = 'text/tailwindcss';
      element.dataset.tailwindConfig = '';
      (document.head ?? document.documentElement).append(element);
    }
    return element;
  };
  const namespaces = {
    colors: 'color', fontFamily: 'font', fontSize: 'text', fontWeight: 'font-weight', spacing: 'spacing',
    borderRadius: 'radius', boxShadow: 'shadow', dropShadow: 'drop-shadow', screens: 'breakpoint',
    maxWidth: 'container', animation: 'animate', lineHeight: 'leading', letterSpacing: 'tracking',
    transitionTimingFunction: 'ease', aspectRatio: 'aspect', blur: 'blur', perspective: 'perspective',
  };
  const word = (key) => String(key).replace(/[^\w-]/g, (letter) => `\\${letter}`);
  const plain = (value) => typeof value === 'string' || typeof value === 'number';
  const safe = (value) => String(value).replace(/[{};]/g, ' ');
  const variables = (name, values, lines) => {
    for (const [key, value] of Object.entries(values ?? {})) {
      const variable = key === 'DEFAULT' ? `--${name}` : `--${name}-${word(key)}`;
      if (plain(value)) lines.push(`${variable}: ${safe(value)};`);
      else if (Array.isArray(value) && name === 'text' && plain(value[0])) {
        lines.push(`${variable}: ${safe(value[0])};`);
        const height = plain(value[1]) ? value[1] : value[1]?.lineHeight;
        if (plain(height)) lines.push(`${variable}--line-height: ${safe(height)};`);
      } else if (Array.isArray(value)) lines.push(`${variable}: ${value.filter(plain).map(safe).join(', ')};`);
      else if (value && typeof value === 'object') variables(variable.slice(2), value, lines);
    }
  };
  const block = (rules) => Object.entries(rules ?? {}).map(([key, value]) => (plain(value)
    ? `${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}: ${safe(value)};`
    : `${key} { ${block(value)} }`)).join(' ');
  const translate = (config) => {
    const lines = [];
    const more = [];
    for (const theme of [config?.theme, config?.theme?.extend]) {
      for (const [key, name] of Object.entries(namespaces)) {
        if (theme?.[key] && typeof theme[key] === 'object') variables(name, theme[key], lines);
      }
      for (const [name, frames] of Object.entries(theme?.keyframes ?? {})) {
        more.push(`@keyframes ${word(name)} { ${block(frames)} }`);
      }
      for (const [name, image] of Object.entries(theme?.backgroundImage ?? {})) {
        if (plain(image)) more.push(`@utility bg-${word(name)} { background-image: ${safe(image)}; }`);
      }
    }
    const [mode, selector] = [config?.darkMode].flat();
    const dark = plain(selector) ? safe(selector) : '.dark';
    const variant = mode === 'class' || mode === 'selector'
      ? `@custom-variant dark (&:where(${dark}, ${dark} *));` : '';
    return `@import "tailwindcss"; ${variant} @theme { ${lines.join(' ')} } ${more.join(' ')} `
      + '@layer base { *, ::after, ::before { border-color: var(--color-gray-200, currentcolor); } '
      + 'button:not(:disabled), [role="button"]:not(:disabled) { cursor: pointer; } }';
  };
  let config = {};
  window.tailwind = {
    get config() { return config; },
    set config(value) {
      config = value ?? {};
      style().textContent = translate(config);
    },
  };
  window.tailwind.config = {};
})();
