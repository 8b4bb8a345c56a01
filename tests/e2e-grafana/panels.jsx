// Draws every panel of one dashboard with Grafana's own published components (@grafana/ui, @grafana/data) from a real
// Prometheus. It is no Grafana: variables, legends, field defaults and the one transformation that our tables use are
// done by this file. Each panel says in the DOM what came of it: data-state, data-values (finite ones), data-error.
import React from 'react';
import {createRoot} from 'react-dom/client';
import {
  applyFieldOverrides, createTheme, dateTime, FieldType, getDisplayProcessor, standardEditorsRegistry,
  standardFieldConfigEditorRegistry, ThemeContext, toDataFrame,
} from '@grafana/data';
import {BarGauge, BigValue, GlobalStyles, PanelChrome, Table, TimeSeries} from '@grafana/ui';

const ask = new URLSearchParams(location.search);
const PROM = ask.get('prometheus');
const WIDTH = 1440;
const CELL = {x: WIDTH / 24, y: 34, gap: 8};
const theme = createTheme({colors: {mode: 'dark'}});
const to = Math.floor(Date.now() / 1000);
const from = to - Number(ask.get('seconds') || 60);
const STEP = 1;
const VALUES = {
  '$job': ask.get('job') || '.*', '$instance': '.*', '$namespace': '.*', '$pod': '.*',
  '$cgroup': ask.get('cgroup') || '.*', '$__rate_interval': '10s', '$__range': `${to - from}s`,
};
standardEditorsRegistry.setInit(() => []);
standardFieldConfigEditorRegistry.setInit(() => []);

const interpolate = (text) => Object.keys(VALUES).sort((a, b) => b.length - a.length)
  .reduce((s, name) => s.split(name).join(VALUES[name]), text);
const legend = (format, labels) => format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');

async function query(target) {
  const q = new URLSearchParams({query: interpolate(target.expr)});
  if (target.instant) q.set('time', to);
  else Object.entries({start: from, end: to, step: STEP}).forEach(([k, v]) => q.set(k, v));
  const answer = await fetch(`${PROM}/api/v1/query${target.instant ? '' : '_range'}`, {method: 'POST', body: q});
  const json = await answer.json();
  if (json.status !== 'success') throw new Error(json.error);
  return json.data.result;
}

function config(panel, name) {
  return {...panel.fieldConfig.defaults, displayNameFromDS: name, decimals: panel.fieldConfig.defaults.decimals};
}

// One frame a series, as Grafana's own Prometheus data source gives them.
function frames(panel, target, result) {
  return result.map((series) => {
    const samples = series.values || [series.value];
    const name = legend(target.legendFormat, series.metric) || target.expr;
    return toDataFrame({
      refId: target.refId, name,
      fields: [
        {name: 'Time', type: FieldType.time, values: samples.map((s) => s[0] * 1000), config: {}},
        // what is not finite is not drawn, as in Grafana's own panel
        {name: 'Value', type: FieldType.number, labels: series.metric,
          values: samples.map((s) => (Number.isFinite(Number(s[1])) ? Number(s[1]) : null)),
          config: config(panel, name)},
      ],
    });
  });
}

function tableFrame(panel, result) {
  const names = [...new Set(result.flatMap((s) => Object.keys(s.metric)))];
  return toDataFrame({fields: names.map((n) => ({name: n, type: FieldType.string, config: {},
    values: result.map((s) => s.metric[n] ?? '')}))});
}

function ready(data, panel) {
  return applyFieldOverrides({
    data, fieldConfig: {defaults: panel.type === 'table' ? {} : panel.fieldConfig.defaults, overrides: []},
    replaceVariables: (s) => s, theme, timeZone: 'utc',
  }).map((frame, i) => {
    for (const field of frame.fields) {
      if (field.type === FieldType.number) {
        field.config = {...field.config, custom: {...panel.fieldConfig.defaults.custom}};
        field.state = {...field.state, seriesIndex: i, multipleFrames: true};
      }
      field.display = getDisplayProcessor({field, theme, timeZone: 'utc'});
    }
    return frame;
  });
}

const valueField = (frame) => frame.fields.find((f) => f.type === FieldType.number);
const last = (frame) => { const v = valueField(frame).values; return v[v.length - 1]; };

function Body({panel, data, width, height}) {
  if (panel.type === 'timeseries') {
    const range = {from: dateTime(from * 1000), to: dateTime(to * 1000)};
    return <TimeSeries frames={data} timeRange={{...range, raw: range}} timeZone="utc" width={width} height={height}
      legend={{...panel.options.legend, calcs: []}} options={panel.options} />;
  }
  if (panel.type === 'stat') {
    const field = valueField(data[0]);
    return <BigValue theme={theme} width={width} height={height} value={field.display(last(data[0]))}
      colorMode={panel.options.colorMode} graphMode="none" justifyMode="auto" textMode="value" />;
  }
  if (panel.type === 'bargauge') {
    const high = Math.max(...data.map(last), 1);
    const row = Math.max(18, Math.floor(height / data.length) - 4);
    return <div>{data.map((frame, i) => {
      const field = valueField(frame);
      const value = {...field.display(last(frame)), title: field.config.displayNameFromDS};
      return <BarGauge key={i} theme={theme} width={width} height={row} value={value} field={{...field.config, min: 0, max: high}}
        display={field.display} orientation="horizontal" displayMode={panel.options.displayMode} />;
    })}</div>;
  }
  return <Table data={data[0]} width={width} height={height} noHeader={false} />;
}

class Guard extends React.Component {
  state = {};
  static getDerivedStateFromError(error) { return {error}; }
  componentDidCatch(error) { this.props.report(String(error)); }
  render() { return this.state.error ? <pre>{String(this.state.error)}</pre> : this.props.children; }
}

function Panel({panel}) {
  const [state, set] = React.useState({state: 'loading', values: 0, data: []});
  const [error, fail] = React.useState('');
  const g = panel.gridPos;
  const box = {position: 'absolute', left: g.x * CELL.x, top: g.y * CELL.y, width: g.w * CELL.x - CELL.gap, height: g.h * CELL.y - CELL.gap};
  React.useEffect(() => {
    (async () => {
      const results = await Promise.all(panel.targets.map(query));
      const table = panel.type === 'table';
      const raw = table ? [tableFrame(panel, results[0])] : panel.targets.flatMap((t, i) => frames(panel, t, results[i]));
      const values = table ? results[0].length
        : raw.reduce((n, f) => n + valueField(f).values.filter(Number.isFinite).length, 0);
      const empty = panel.targets.filter((_, i) => !results[i].length).map((t) => t.refId).join('');
      set({state: values ? 'data' : 'nodata', values, empty, data: values ? ready(raw, panel) : []});
    })().catch((e) => { set({state: 'error', values: 0, data: []}); fail(String(e)); });
  }, []);
  return <div style={box} className="panel" data-title={panel.title} data-type={panel.type} data-state={error ? 'error' : state.state}
    data-values={state.values} data-error={error} data-empty={state.empty}>
    <PanelChrome title={panel.title} description={panel.description} width={box.width} height={box.height}>
      {(w, h) => state.data.length
        ? <Guard report={fail}><Body panel={panel} data={state.data} width={w} height={h} /></Guard>
        : <div style={{padding: 20, opacity: 0.6}}>{state.state === 'loading' ? '' : 'No data'}</div>}
    </PanelChrome>
  </div>;
}

function Dashboard({d}) {
  const bottom = Math.max(...d.panels.map((p) => p.gridPos.y + p.gridPos.h)) * CELL.y;
  return <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <h1 style={{font: '20px system-ui', margin: '0 0 8px'}}>{d.title}{ask.get('note') ? ` (${ask.get('note')})` : ''}</h1>
    <div id="grid" style={{position: 'relative', width: WIDTH, height: bottom}}>
      {d.panels.map((p) => p.type === 'row'
        ? <h2 key={p.id} style={{position: 'absolute', left: 0, top: p.gridPos.y * CELL.y, font: '15px system-ui', margin: 0}}>{p.title}</h2>
        : <Panel key={p.id} panel={p} />)}
    </div>
  </ThemeContext.Provider>;
}

document.body.style.cssText = `background:${theme.colors.background.canvas};color:${theme.colors.text.primary};margin:12px;font:14px system-ui`;
const dashboard = await (await fetch(ask.get('dashboard'))).json();
createRoot(document.getElementById('root')).render(<Dashboard d={dashboard} />);
