// SPDX-License-Identifier: GPL-2.0-only
// Before anything is drawn: the chosen theme, else the system's.
(() => {
	let kept = null;
	try {
		kept = localStorage.getItem('theme');
	} catch {
		/* storage is off */
	}
	const dark = kept ? kept === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
	document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
