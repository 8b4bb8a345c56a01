// Panels are drawn without a router: links in them lead nowhere.
import React from 'react';

export const Link = React.forwardRef(({to, ...props}, ref) => React.createElement('a', {href: String(to), ref, ...props}));
export const useLocation = () => ({pathname: '/', search: '', hash: ''});
export const useNavigate = () => () => {};
export const useHistory = () => ({push() {}, replace() {}, location: {pathname: '/'}});
export const useParams = () => ({});
export const useInRouterContext = () => false;
export const NavLink = Link;
export const Prompt = () => null;
export const matchPath = () => null;
