import { createElement } from 'react'

/** Next asks for one, also where there is no page. */
export default function Layout ({ children }) {
  return createElement('html', { lang: 'en' }, createElement('body', null, children))
}
