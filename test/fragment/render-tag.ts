import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import type { Fragment } from '../../src/fragment/spec.js'
import { renderTag } from '../../src/fragment/tag.js'

/** Renders a tag where nothing is put off. */
export const renderTagSync = (
  fragment: Fragment,
  renderBody: () => string,
  holes?: HoleRenderer,
): string => renderTag(fragment, { renderBody, holes })
