/** What `container.data` is asked for around a tag's vary-on values; no frame is that deep. */
export const BEGIN_VARY_ON = 2_147_483_647
export const END_VARY_ON = 2_147_483_646

/** The argument behind a tag's vary-on values if nothing reports what they have read. */
export const END = '\0fragcache'
