// Pages may have a name `atelier` of their own.
Object.defineProperty(window, 'atelier', {
  configurable: true, enumerable: false, writable: true, value: Object.freeze(atelier),
});
document.currentScript?.remove();
