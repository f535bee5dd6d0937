(() => {
  'use strict';
  const find = (id) => document.getElementById(id);
  const query = find('query');
  const said = find('said');
  if (!query) return;

  const list = find('cards');
  const cards = () => [...list.children];
  const plain = (text) => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  const all = find('count').textContent;
  const { one, many } = find('tools').dataset;
  let removed = 0;

  const filter = () => {
    const words = plain(query.value).split(/\s+/).filter(Boolean);
    const kind = find('kind')?.value ?? '';
    let shown = 0;
    for (const card of cards()) {
      const { title, name, user } = card.dataset;
      const text = plain(`${title} ${name} ${card.querySelector('.user') ? user : ''}`);
      const matches = (!kind || card.dataset.kind === kind) && words.every((word) => text.includes(word));
      card.hidden = !matches;
      if (matches) shown += 1;
    }
    const total = cards().length;
    const counted = (count) => `${count} ${count === 1 ? one : many}`;
    find('nothing').hidden = shown > 0 || total === 0;
    find('count').textContent = words.length || kind ? `${shown} of ${counted(total)}` : removed ? counted(total) : all;
  };
  const orders = {
    newest: (a, b) => b.dataset.updated - a.dataset.updated,
    oldest: (a, b) => a.dataset.updated - b.dataset.updated,
    title: (a, b) => a.dataset.title.localeCompare(b.dataset.title, undefined, { numeric: true, sensitivity: 'base' }),
    largest: (a, b) => b.dataset.bytes - a.dataset.bytes,
  };
  const sort = () => list.append(...cards().sort(orders[find('sort').value]));
  query.addEventListener('input', filter);
  find('kind')?.addEventListener('change', filter);
  find('sort').addEventListener('change', sort);
  find('clear').addEventListener('click', () => {
    query.value = '';
    if (find('kind')) find('kind').value = '';
    filter();
    query.focus();
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest('input, select, dialog')) return;
    event.preventDefault();
    query.focus();
  });
  find('tools').hidden = false;
  // A reload may bring back what was typed and chosen before.
  sort();
  filter();

  const units = [['year', 31536000], ['month', 2592000], ['week', 604800], ['day', 86400], ['hour', 3600], ['minute', 60]];
  const words = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
  const relative = (time) => {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) return;
    const seconds = (moment - Date.now()) / 1000;
    const unit = units.find(([, length]) => Math.abs(seconds) >= length);
    time.textContent = unit ? words.format(Math.trunc(seconds / unit[1]), unit[0]) : 'just now';
    time.title = moment.toLocaleString();
  };

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
  const copying = (button) => {
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
  };

  // --- the sheet of one card ---------------------------------------------------------------
  const sheet = find('sheet');
  const word = document.querySelector('meta[name="atelier-action"]').content;
  let card = null;
  let busy = false;

  const subject = () => ({ kind: card.dataset.kind, user: card.dataset.user, name: card.dataset.name });
  const ask = async (path, body) => {
    let response;
    try {
      response = await fetch(`gallery/${path}`, body && {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-atelier-action': word },
        body: JSON.stringify(body),
      });
    } catch {
      throw new Error('Atelier does not answer. Is it still running?');
    }
    const isJson = response.headers.get('content-type')?.startsWith('application/json');
    const answer = isJson ? await response.json() : null;
    if (response.ok && answer) return answer;
    if (answer?.message) throw new Error([answer.message, answer.hint].filter(Boolean).join('. '));
    throw new Error(response.status === 401 || response.status === 403
      ? 'This gallery is closed by now. Open it again through its link.'
      : 'That did not work. Reload this page and try again.');
  };
  const tell = (text) => {
    find('told').hidden = !text;
    find('told').textContent = text;
  };
  const say = (text) => { said.textContent = ''; said.textContent = text; };
  // One thing at a time; whatever is told is told in the sheet.
  const during = async (work) => {
    if (busy) return;
    busy = true;
    tell('');
    const buttons = [...sheet.querySelectorAll('button:not(#close)')];
    const focused = document.activeElement;
    buttons.forEach((button) => { button.disabled = true; });
    try { await work(); } catch (error) { tell(error.message); }
    busy = false;
    buttons.forEach((button) => { button.disabled = false; });
    if (sheet.open && (document.activeElement === document.body || document.activeElement === sheet)) {
      (focused?.isConnected && focused.checkVisibility() ? focused : find('close')).focus();
    }
  };
  const askToDelete = (sure) => {
    find('delete-ask').hidden = sure;
    find('delete-sure').hidden = !sure;
  };
  const size = (bytes) => bytes < 1e3 ? `${bytes} B` : bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  const showVersions = async () => {
    const { versions } = await ask(`versions?${new URLSearchParams(subject())}`);
    find('versions').replaceChildren(...versions.map((version) => {
      const label = `Version ${version.version}`;
      const title = version.url
        ? element('a', { href: version.url, target: '_blank', rel: 'noopener noreferrer', textContent: label })
        : label;
      const time = element('time', { dateTime: version.created_at });
      relative(time);
      const what = element('div', { className: 'what' }, title, ' ', element('span', {}, time, ` · ${size(version.bytes)}`));
      if (version.current) return element('li', {}, what, element('span', { className: 'now', textContent: 'Current' }));
      const restore = element('button', { type: 'button', className: 'button', textContent: 'Restore' });
      restore.setAttribute('aria-label', `Restore version ${version.version}`);
      restore.addEventListener('click', () => during(async () => {
        const restored = await ask('restore', { ...subject(), version: version.version });
        await refresh(card.dataset.name);
        say(`Version ${version.version} is the newest again, as version ${restored.version}`);
        await showVersions();
        find('versions').focus();
      }));
      return element('li', {}, what, restore);
    }));
  };
  const showNames = () => {
    const { title, name } = card.dataset;
    find('sheet-title').textContent = title;
    find('sheet-name').textContent = name;
    find('sheet-name').hidden = name === title;
    find('new-name').value = name;
    find('sure-hint').textContent = `Delete “${title}” with all its versions?`;
  };

  // The card as the server shows it now, under this name.
  const refresh = async (name) => {
    const { kind, user } = card.dataset;
    const text = await fetch('gallery').then((response) => response.ok ? response.text() : '', () => '');
    // The list alone: the styles around it are refused by the policy of this page.
    const part = text.slice(text.indexOf('<ul class="cards"'), text.indexOf('</ul>'));
    const page = new DOMParser().parseFromString(part, 'text/html');
    const fresh = [...page.querySelectorAll('.card')].find(({ dataset }) =>
      dataset.kind === kind && dataset.user === user && dataset.name === name);
    if (!fresh) throw new Error('It is done, but cannot be shown. Reload this page.');
    const adopted = document.importNode(fresh, true);
    card.replaceWith(adopted);
    card = adopted;
    prepare(card);
    showNames();
    filter();
  };
  const manage = (button) => {
    button.hidden = false;
    button.addEventListener('click', () => {
      card = button.closest('.card');
      tell('');
      askToDelete(false);
      showNames();
      find('versions').replaceChildren();
      sheet.showModal();
      showVersions().catch((error) => tell(error.message));
    });
  };
  // What a card needs a script for.
  const prepare = (prepared) => {
    // A picture that does not come leaves the letter that stands behind it.
    for (const picture of prepared.querySelectorAll('.picture img')) {
      const gone = () => picture.remove();
      if (picture.complete && picture.naturalWidth === 0) gone();
      else picture.addEventListener('error', gone, { once: true });
    }
    prepared.querySelectorAll('time').forEach(relative);
    prepared.querySelectorAll('.copy').forEach(copying);
    prepared.querySelectorAll('.manage').forEach(manage);
  };
  cards().forEach(prepare);
  // The focus returns to the card that the sheet was opened from, even when it is a new one.
  sheet.addEventListener('close', () => {
    if (card?.isConnected && (document.activeElement === document.body || !document.activeElement)) {
      card.querySelector('.manage').focus();
    }
  });
  find('close').addEventListener('click', () => sheet.close());
  sheet.addEventListener('click', (event) => {
    // Beside the sheet: its backdrop is the dialog itself.
    const box = sheet.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (event.target === sheet && !inside) sheet.close();
  });
  find('rename').addEventListener('submit', (event) => {
    event.preventDefault();
    during(async () => {
      const { name } = await ask('rename', { ...subject(), new_name: find('new-name').value });
      await refresh(name);
      say(`Renamed to ${name}`);
    });
  });
  find('delete').addEventListener('click', () => { askToDelete(true); find('keep').focus(); });
  find('keep').addEventListener('click', () => { askToDelete(false); find('delete').focus(); });
  find('delete-now').addEventListener('click', () => during(async () => {
    await ask('delete', subject());
    const { title } = card.dataset;
    const next = card.nextElementSibling ?? card.previousElementSibling;
    card.remove();
    removed += 1;
    sheet.close();
    filter();
    (next?.querySelector('.open') ?? query).focus();
    say(`${title} was deleted`);
  }));
})();
