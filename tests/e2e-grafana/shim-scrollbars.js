// esbuild gives an .mjs file the whole CommonJS module as its default; Grafana's own bundler gives its default member.
import * as module from 'react-custom-scrollbars-2';

export default module.default;
export const Scrollbars = module.Scrollbars;
