(() => {
  'use strict';
  const find = (id) => document.getElementById(id);
  const query = find('query');
  const said = find('said');
  if (!query) return;

  const cards = [...find('cards').children];
  const plain = (text) => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  const texts = cards.map((card) => plain(card.dataset.search));
  const all = find('count').textContent;

  const filter = () => {
    const words = plain(query.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    cards.forEach((card, index) => {
      const matches = words.every((word) => texts[index].includes(word));
      card.hidden = !matches;
      if (matches) shown += 1;
    });
    find('nothing').hidden = shown > 0;
    find('count').textContent = words.length ? `${shown} of ${cards.length} apps` : all;
  };
  query.addEventListener('input', filter);
  find('clear').addEventListener('click', () => { query.value = ''; filter(); query.focus(); });
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest('input')) return;
    event.preventDefault();
    query.focus();
  });
  find('search').hidden = false;
  filter();

  const units = [['year', 31536000], ['month', 2592000], ['week', 604800], ['day', 86400], ['hour', 3600], ['minute', 60]];
  const words = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
  for (const time of document.querySelectorAll('time')) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const seconds = (moment - Date.now()) / 1000;
    const unit = units.find(([, length]) => Math.abs(seconds) >= length);
    time.textContent = unit ? words.format(Math.trunc(seconds / unit[1]), unit[0]) : 'just now';
    time.title = moment.toLocaleString();
  }

  // Without a secure context there is no clipboard; a selected field does it there.
  const copyText = async (text) => {
    if (navigator.clipboard) {
      try { await navigator.clipboard.writeText(text); return true; } catch { /* the field, then */ }
    }
    const field = document.createElement('textarea');
    field.className = 'hidden';
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    return done;
  };
  for (const button of document.querySelectorAll('.copy')) {
    button.hidden = false;
    let timer;
    button.addEventListener('click', async () => {
      const done = await copyText(button.dataset.url);
      button.focus();
      button.textContent = done ? 'Copied' : 'Not copied';
      said.textContent = done ? 'Link copied' : 'The link could not be copied';
      clearTimeout(timer);
      timer = setTimeout(() => { button.textContent = 'Copy link'; said.textContent = ''; }, 2000);
    });
  }
})();
