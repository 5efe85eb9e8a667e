const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** @param {unknown} text */
export const escapeHtml = (text) => String(text).replace(/[&<>"']/g, (char) => entities[char])
