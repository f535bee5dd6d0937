(async () => {
  'use strict';
  // Runs the accessibility rules and keeps what a finding needs. Rules that a careful page
  // may break, and the title, which the page's own findings name, are left out; frames are not entered.
  const MOST_ELEMENTS = 4000;
  const total = document.getElementsByTagName('*').length;
  if (total > MOST_ELEMENTS) return { skipped: total, violations: [] };
  const results = await axe.run(document, {
    iframes: false,
    // No style sheet is fetched for it: nothing answers, and it would look like the page's own wish.
    preload: false,
    resultTypes: ['violations'],
    runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] },
    rules: { 'document-title': { enabled: false }, 'target-size': { enabled: false }, 'label-content-name-mismatch': { enabled: false } },
  });
  return {
    skipped: null,
    violations: results.violations.slice(0, 20).map((rule) => ({
      rule: rule.id,
      impact: rule.impact,
      help: rule.help.slice(0, 200),
      count: rule.nodes.length,
      target: rule.nodes[0]?.target.flat().join(' ').slice(0, 200) ?? null,
      html: rule.nodes[0]?.html.slice(0, 200) ?? null,
      // Text measured against its background: the two colours say what to change.
      detail: rule.nodes[0]?.any?.[0]?.message?.slice(0, 300) ?? null,
    })),
  };
})()
