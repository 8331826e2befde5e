"""How the page looks, and the little JavaScript it needs: clicks on rendered HTML, language, light and dark, the shared link.

Colours are variables that follow Gradio's theme, with a light and a dark value each; texts keep a contrast of 4.5 : 1 (WCAG AA). Nothing is
fetched from elsewhere: the fonts are the system's.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from genrec.ui.texts import I18N

CSS = """
:root {
  --gr-accent: #4338ca; --gr-accent-soft: #eef2ff; --gr-ink: #1f2937; --gr-quiet: #4b5563; --gr-line: #d9dde5; --gr-card: #ffffff;
  --gr-good: #166534; --gr-good-soft: 22 163 74; --gr-bad: #b42318; --gr-bad-soft: 220 38 38; --gr-warn: #92400e;
}
.dark {
  --gr-accent: #a5b4fc; --gr-accent-soft: #272a4d; --gr-ink: #e5e7eb; --gr-quiet: #a9b1bf; --gr-line: #3a4150; --gr-card: #1c2230;
  --gr-good: #4ade80; --gr-bad: #fca5a5; --gr-warn: #fbbf24;
}
.gradio-container {--body-text-color-subdued: var(--gr-quiet); --block-info-text-color: var(--gr-quiet); --input-placeholder-color: var(--gr-quiet)}
.gradio-container .main {max-width: 1440px; margin: 0 auto; padding-inline: clamp(12px, 3vw, 32px) !important} /* no rule of .gradio-container works in @media: Gradio puts itself before it */
.gradio-container .html-container {padding: 0}
.gradio-container button:focus-visible, .gradio-container summary:focus-visible, .gradio-container a:focus-visible {outline: 3px solid var(--gr-accent); outline-offset: 2px}
html:lang(zh) .genrec-in-en, html:not(:lang(zh)) .genrec-in-zh {display: none}
.genrec-hide {position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap}
.genrec-quiet, .genrec-facts {color: var(--gr-quiet); font-size: .9em}
.sidebar:not(.open) > .sidebar-content {visibility: hidden} /* else the keyboard goes through what nobody sees */
/* header */
.genrec-head {display: flex; align-items: center; gap: 10px 14px; flex-wrap: wrap; padding: 2px 0 6px 44px}
.genrec-head h1 {margin: 0; font-size: 1.5rem; line-height: 1.2; letter-spacing: -.02em; font-weight: 750; color: var(--gr-ink)}
.genrec-head h1 span {color: var(--gr-accent)}
.genrec-head p {margin: 0; color: var(--gr-quiet)}
.genrec-tools {margin-left: auto; display: flex; gap: 6px; align-items: center; flex-wrap: wrap}
.genrec-model {border: 1px solid var(--gr-line); border-radius: 99px; padding: 2px 11px; font-size: .85em; color: var(--gr-ink); background: var(--gr-card); white-space: nowrap}
.genrec-model::before {content: ""; display: inline-block; width: 8px; height: 8px; border-radius: 50%; background: #16a34a; margin-right: 7px}
.genrec-model.is-loading::before {background: #d97706; animation: genrec-pulse 1.2s infinite}
@keyframes genrec-pulse {50% {opacity: .25}}
@media (prefers-reduced-motion: reduce) {.genrec-model.is-loading::before {animation: none}}
/* buttons of our own */
.genrec-button, .genrec-chip {border: 1px solid var(--gr-line); background: var(--gr-card); color: var(--gr-ink); border-radius: 99px; padding: 4px 12px; font-size: .9em; line-height: 1.5; cursor: pointer; transition: border-color .15s, background .15s}
.genrec-button:hover, button.genrec-chip:hover {border-color: var(--gr-accent); background: var(--gr-accent-soft)}
.genrec-button[aria-pressed=true] {background: var(--gr-accent); color: var(--gr-card); border-color: var(--gr-accent)}
.genrec-button[disabled] {opacity: .5; cursor: default}
span.genrec-chip {cursor: default; padding: 1px 9px; font-size: .82em}
.gradio-container .prose :is(.genrec-button, .genrec-chip, .genrec-examples button, .genrec-chats button) {margin: 0; font-weight: 500; box-shadow: none; font-family: inherit}
.genrec-languages {display: inline-flex; gap: 2px}
.genrec-group {display: flex; gap: 6px; flex-wrap: wrap; align-items: center; margin: 8px 0}
.genrec-group > b {font-weight: 600; color: var(--gr-quiet); font-size: .85em; min-width: 4.2em}
/* cold start */
.gradio-container:has(.genrec-starter):not(:has([data-testid=user])) #genrec-chat, .gradio-container:has([data-testid=user]) #genrec-start {display: none}
.genrec-picks {min-height: 124px} /* of its rows, which come when the catalogue is read */
.genrec-starter {border: 1px solid var(--gr-line); border-radius: 18px; padding: 26px 26px 18px; background: linear-gradient(160deg, var(--gr-accent-soft), transparent 60%), var(--gr-card)}
.genrec-starter h2 {margin: 0 0 4px; font-weight: 700; font-size: 1.7rem; letter-spacing: -.02em; color: var(--gr-ink)}
.genrec-starter p {color: var(--gr-quiet); margin: 0 0 14px}
.genrec-examples {display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 10px; margin: 6px 0 0; padding: 0; list-style: none}
.genrec-examples button {width: 100%; height: 100%; text-align: left; border: 1px solid var(--gr-line); border-radius: 14px; background: var(--gr-card); color: var(--gr-ink); padding: 12px 14px; cursor: pointer; font-size: .95em; line-height: 1.4}
.genrec-examples button:hover {border-color: var(--gr-accent)}
.genrec-starter h3 {margin: 18px 0 0; font-size: .85em; color: var(--gr-quiet); font-weight: 600}
/* cards */
.genrec-cards {display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 10px; list-style: none; margin: 0; padding: 0}
.genrec-card {border: 1px solid var(--gr-line); border-radius: 14px; padding: 11px 14px; background: var(--gr-card); margin: 0; display: flex; flex-direction: column; gap: 3px}
.genrec-title {font-weight: 650; color: var(--gr-ink)} .genrec-mark {color: var(--gr-good)}
.genrec-rate {display: flex; gap: 6px; flex-wrap: wrap; margin-top: auto; padding-top: 7px}
.genrec-rate .genrec-button {padding: 2px 9px; font-size: .82em; white-space: nowrap}
.genrec-fits {display: flex; gap: 4px; flex-wrap: wrap; align-items: center}
.genrec-actions {display: flex; gap: 6px 22px; flex-wrap: wrap; justify-content: space-between}
.genrec-actions .genrec-group {margin: 2px 0}
.genrec-menu {position: relative} .genrec-menu summary {list-style: none; display: inline-block} .genrec-menu summary::-webkit-details-marker {display: none}
.genrec-menu > div {position: absolute; bottom: calc(100% + 6px); right: 0; z-index: 30; display: flex; flex-direction: column; gap: 4px; padding: 8px; border: 1px solid var(--gr-line); border-radius: 12px; background: var(--gr-card); box-shadow: 0 8px 24px rgb(0 0 0 / .18)}
.genrec-menu > div button {white-space: nowrap; text-align: left}
button[role=tab] {padding: 6px 10px; font-size: .92em} .gradio-container button[role=tab][aria-selected=true] {color: var(--gr-accent)}
#genrec-status * {opacity: 1 !important} /* Gradio pales what an event may change */
#genrec-status {display: flex; flex-wrap: wrap; gap: 0 12px} /* the place in the queue would else lie over it, cut off */
#genrec-status > .wrap {position: static !important; width: auto; height: auto; order: 2; background: none; overflow: visible; pointer-events: none}
#genrec-status > .wrap .progress-text {position: static !important; padding: 0; transform: none; font-family: inherit; font-size: 1em; color: var(--gr-quiet)}
#genrec-status {font-size: .85em; color: var(--gr-quiet); min-height: 1.4em}
#genrec-input {align-items: stretch} #genrec-box textarea {border: 1px solid var(--gr-line); border-radius: 12px; padding: 11px 14px; font-size: 1.02em}
#genrec-box textarea::placeholder {white-space: nowrap; overflow: hidden; text-overflow: ellipsis}
#genrec-why, #genrec-both {border: 1px solid var(--gr-line)}
/* Gradio names a pop-up by its kind, in English */
.toast-title {font-size: 0 !important} .toast-title::after {font-size: 1rem} .toast-title.info::after {content: "Noted"} .toast-title.error::after {content: "That did not work"}
html:lang(zh) .toast-title.info::after {content: "提示"} html:lang(zh) .toast-title.error::after {content: "没有成功"}
/* panels */
#genrec-panels {position: sticky; top: 8px}
.genrec-panel {padding: 4px 2px} .genrec-panel h2 {font-size: .95em; font-weight: 650; margin: 14px 0 4px; color: var(--gr-ink)} .genrec-panel h2:first-child {margin-top: 2px}
.gradio-container .genrec-panel ul {padding-left: 1.3em !important; margin: 4px 0}
.genrec-words {line-height: 2; font-size: 1.05em}
.genrec-meter {position: relative; height: 8px; border-radius: 4px; background: var(--gr-line); overflow: visible; margin: 3px 0 9px}
.genrec-meter i {display: block; height: 100%; border-radius: 4px; background: #16a34a} .genrec-meter.over i {background: #dc2626}
.genrec-meter b {position: absolute; top: -3px; width: 2px; height: 14px; background: var(--gr-ink)}
.genrec-meter.short i {background: #d97706} .genrec-meter u {position: absolute; top: 3px; height: 2px; background: var(--gr-ink); opacity: .65}
.genrec-figure {margin: 8px 0; font-size: .95em} .genrec-figure .genrec-meter {margin-bottom: 4px}
.genrec-score {display: flex; justify-content: space-between; gap: 10px; font-size: .9em} .genrec-score code {white-space: nowrap}
.genrec-table {width: 100%; border-collapse: collapse; font-size: .86em} .gradio-container .prose .genrec-table :is(th, td) {border: 0; border-bottom: 1px solid var(--gr-line); padding: 4px 8px 4px 0} .genrec-table th, .genrec-table td {text-align: left; padding: 4px 8px 4px 0; border-bottom: 1px solid var(--gr-line); vertical-align: top}
.genrec-table td:nth-child(3) {white-space: nowrap}
.genrec-scroll {overflow-x: auto; max-height: 46vh; overflow-y: auto}
.genrec-prompt {white-space: pre-wrap; overflow-wrap: anywhere; font-size: .82em; background: var(--gr-accent-soft); color: var(--gr-ink); border-radius: 10px; padding: 10px; margin: 4px 0}
.genrec-progress, .genrec-progress::-webkit-progress-bar {appearance: none; width: 100%; height: 8px; border: 0; border-radius: 4px; background: var(--gr-line)}
.genrec-progress::-webkit-progress-value {background: var(--gr-accent); border-radius: 4px} .genrec-progress::-moz-progress-bar {background: var(--gr-accent)}
.genrec-token {background: rgb(217 119 6 / calc((1 - var(--p)) * .55)); border-radius: 3px}
.genrec-sides {display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 10px; margin: 8px 0; font-size: .95em} .genrec-sides .is-picked {border: 2px solid var(--gr-good)}
.genrec-sides p {margin: 0} .genrec-panel .genrec-sides h3 {margin: 0}
.genrec-alert {color: var(--gr-bad)} #genrec-catalogue :is(li, p) {overflow-wrap: anywhere}
.genrec-chats {list-style: none; margin: 0; padding: 0; display: flex; flex-direction: column; gap: 4px}
.genrec-chats button {width: 100%; text-align: left; border: 0; background: transparent; color: var(--gr-ink); padding: 7px 9px; border-radius: 9px; cursor: pointer; overflow: hidden; text-overflow: ellipsis; white-space: nowrap}
.genrec-chats button:hover {background: var(--gr-accent-soft)}
@media (max-width: 640px) {
  .genrec-head p {display: none} .genrec-head {padding: 0} .genrec-head h1 {padding-left: 34px} .genrec-tools {margin-left: 0; gap: 5px} .genrec-tools .genrec-button {padding: 4px 9px}
  .genrec-picks {min-height: 108px} .genrec-starter .genrec-group {flex-wrap: nowrap; overflow-x: auto; margin: 5px 0} .genrec-starter .genrec-button {white-space: nowrap} .genrec-starter .genrec-group > b {min-width: 3.2em !important}
  .genrec-examples li:nth-child(n+3) {display: none}
  #genrec-input {position: sticky; bottom: 0; z-index: 20; background: var(--body-background-fill); padding: 8px 0; flex-wrap: nowrap} .genrec-starter {padding: 18px 14px} .genrec-starter h2 {font-size: 1.35rem}
  #genrec-chat {height: 46vh !important; min-height: 260px !important} .genrec-group > b {min-width: 100%}
  #genrec-chat .icon-button-wrapper.top-panel {display: none} /* it lies over the message; the menu has a new chat, too */
  button[role=tab] {padding: 6px 5px !important; font-size: .8em !important}
  .genrec-cards {display: flex; overflow-x: auto; scroll-snap-type: x mandatory} .genrec-card {min-width: 82%; scroll-snap-align: start}
}
"""

# A click on anything with data-act reaches Python as an event. The same one within 400 ms is a double click and counts once.
CLICKS = """
let last = '', at = 0;
const events = {ask: 'submit', say: 'submit', retry: 'submit', export: 'download', undo: 'undo'};
element.addEventListener('click', event => {
  const target = event.target.closest('[data-act]');
  if (!target || target.disabled) return;
  const act = target.dataset.act, now = Date.now();
  if (act === last && now - at < 400) return;
  last = act; at = now;
  target.closest('details.genrec-menu')?.removeAttribute('open');
  trigger(events[act.split(':')[0]] ?? 'select', {act});
});
"""
# Of each group of quick choices at most one is pressed; together they go to Python, which words the message.
PICKS = """
element.addEventListener('click', event => {
  const pick = event.target.closest('[data-pick]');
  if (!pick) return;
  const was = pick.getAttribute('aria-pressed') === 'true';
  for (const other of element.querySelectorAll(`[data-pick="${pick.dataset.pick}"]`)) other.setAttribute('aria-pressed', 'false');
  pick.setAttribute('aria-pressed', String(!was));
  const chosen = [...element.querySelectorAll('[data-pick][aria-pressed=true]')].map(other => [other.dataset.pick, other.dataset.value]);
  trigger('input', {act: 'pick:' + JSON.stringify(Object.fromEntries(chosen))});
});
"""
# The header also puts into Chinese what Gradio itself says in English only.
HEADER = """
const said = {'queue:': '排队', 'This application is currently busy. Please try again.': '现在人太多了，请稍后再试。'};
new MutationObserver(() => {
  if (window.genrecLanguage !== 'zh') return;
  for (const one of document.querySelectorAll('#genrec-status .progress-text, [data-testid=toast-text]')) {
    for (const node of one.childNodes) {
      const key = node.nodeType === Node.TEXT_NODE && Object.keys(said).find(key => node.data.includes(key));
      if (key) node.data = node.data.replace(key, said[key]);
    }
  }
}).observe(document.body, {childList: true, subtree: true, characterData: true});
element.addEventListener('click', async event => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.lang) {
    localStorage.setItem('genrec-language', button.dataset.lang);
    window.genrecSpeak(button.dataset.lang);
    trigger('select', {act: 'language'});
  } else if (button.dataset.theme) {
    const isDark = document.body.classList.toggle('dark');
    localStorage.setItem('genrec-theme', isDark ? 'dark' : 'light');
  } else if (button.dataset.share) {
    const said = [...document.querySelectorAll('#genrec-chat [data-testid=user]')].pop()?.innerText.trim() ?? '';
    const url = new URL(location.pathname, location.href);
    if (said) url.searchParams.set('q', said);
    try { await navigator.clipboard.writeText(url.href); } catch { window.prompt(button.title, url.href); }
    element.querySelector('[role=status]').textContent = button.dataset.share;
    button.textContent = '✓ ' + button.dataset.share;
  }
});
"""
# Gradio runs this once it knows its own language (the browser's); another one is set through the module that it exports for that. The
# resource entries name that module, as its file name changes with every version.
HEAD = """
<script>
(() => {
  const asked = new URLSearchParams(location.search);
  window.genrecSpeak = wanted => {
    window.genrecLanguage = wanted.toLowerCase().startsWith('zh') ? 'zh' : 'en';
    const full = window.genrecLanguage === 'zh' ? 'zh-CN' : 'en';
    document.documentElement.lang = full;
    const core = performance.getEntriesByType('resource').find(entry => /\\/core-[^/]*\\.js$/.test(entry.name));
    if (core) import(core.name).then(module => module.changeLocale?.(full));
  };
  window.genrecSpeak(asked.get('lang') || localStorage.getItem('genrec-language') || navigator.language);
  const theme = asked.get('__theme') || localStorage.getItem('genrec-theme');
  if (theme) document.body.classList.toggle('dark', theme === 'dark');
})();
</script>
"""
LANGUAGE = "() => window.genrecLanguage"
READY = "(language, session) => [window.genrecLanguage, session]"
SPOKEN = "(first, language, ...rest) => [first, window.genrecLanguage, ...rest]"
# What `opened` is told: the demo prompt of the link, and the language of the page.
OPENED = """(box, language, history, session) => {
  return [new URLSearchParams(location.search).get('q') ?? '', window.genrecLanguage, history, session];
}"""
CONFIRM = """(language) => {
  if (!window.confirm(language === 'zh' ? '确定删除？' : 'Delete them all?')) throw new Error('kept');
  return [language];
}"""
# Enter pressed twice sends once: the second comes before the box is locked.
ONCE = """(message, ...rest) => {
  const now = Date.now();
  if (message && message === window.genrecSaid && now - window.genrecSaidAt < 1500) return ['', ...rest];
  window.genrecSaid = message; window.genrecSaidAt = now;
  return [message, ...rest];
}"""
DOWNLOAD = """(file) => {
  if (!file || !file.name) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([file.text], {type: file.type}));
  link.download = file.name;
  link.click();
  URL.revokeObjectURL(link.href);
}"""
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", "sans-serif"]  # fmt: skip
PAGE: dict[str, Any] = {  # what `launch` is given
    "theme": gr.themes.Soft(
        primary_hue="indigo",
        secondary_hue="indigo",
        neutral_hue="slate",
        font=_FONTS,
        font_mono=["ui-monospace", "monospace"],
    ).set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_secondary_background_fill_hover_dark="*primary_600",
        checkbox_label_background_fill_selected="*primary_600",
        block_title_text_color="*primary_700",
        block_label_text_color="*primary_700",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    ),
    "css": CSS,
    "head": HEAD,
    "i18n": I18N,
}
