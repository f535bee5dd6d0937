{
  // Without a server, storage lives as long as the page.
  const { install, makeStorage, expose } = runtime.areas;
  const { limits } = runtime;
  const local = runtime.refused(() => window.localStorage);
  const session = runtime.refused(() => window.sessionStorage);
  if (local || session) install();
  if (local) expose('localStorage', makeStorage({ limits: limits.local }).storage);
  if (session) expose('sessionStorage', makeStorage({ limits: limits.session }).storage);
}
