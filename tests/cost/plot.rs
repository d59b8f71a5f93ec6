//! Draws panels side by side, as SVG. Both axes are logarithmic. Each part of the fleet and each way to poll has a line.

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 34.0;
const PLOT_WIDTH: f64 = 380.0;
const PLOT_HEIGHT: f64 = 210.0;
const HEAD: f64 = 78.0;
const COLUMNS: usize = 2;

/// Smaller values are drawn here.
const LEAST: f64 = 0.1;
const MOST: f64 = 1_000.0;
const INSTANCES_MOST: f64 = 10_000.0;

/// Styles for light and dark pages.
const STYLE: &str = "text{font:12px sans-serif;fill:#24292f}.t{font-size:15px;font-weight:600}.g{stroke:#8b949e;\
    stroke-opacity:.35}.s{fill:none;stroke-width:2}.p{stroke:none}.back{fill:#fff}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.back{fill:#0d1117}}";

/// One plot.
pub struct Panel {
    pub title: &'static str,
    pub unit: &'static str,
    pub series: Vec<Series>,
}

/// One line of a plot.
pub struct Series {
    /// How much of the fleet is terminated at once, in percent.
    pub part: u32,
    pub gated: bool,
    /// The number of instances, and the figure.
    pub points: Vec<(f64, f64)>,
}

/// The whole picture.
pub fn draw(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * COLUMNS as f64 + RIGHT, HEAD + HEIGHT * rows as f64);
    let mut svg = vec![
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-label=\"What a termination costs, by the size of the fleet\">"
        ),
        format!("<style>{STYLE}</style><rect class=\"back\" width=\"{width}\" height=\"{height}\"/>"),
        format!(
            "<text class=\"t\" x=\"{LEFT}\" y=\"26\">What a termination costs, by the size of the fleet</text>"
        ),
    ];
    legend(&mut svg);
    for (place, panel) in panels.iter().enumerate() {
        let (x, y) = ((place % COLUMNS) as f64 * WIDTH, HEAD + (place / COLUMNS) as f64 * HEIGHT);
        svg.push(format!("<g transform=\"translate({x} {y})\">"));
        axes(&mut svg, panel);
        panel.series.iter().for_each(|series| line(&mut svg, series));
        svg.push("</g>".to_owned());
    }
    svg.push("</svg>\n".to_owned());
    svg.join("\n")
}

fn color(part: u32) -> &'static str {
    match part {
        1 => "#1f9e89",
        10 => "#3b82f6",
        _ => "#e8590c",
    }
}

fn dashes(gated: bool) -> &'static str {
    if gated { "" } else { " stroke-dasharray=\"5 4\"" }
}

fn legend(svg: &mut Vec<String>) {
    let entries = [(1, "1 % at once"), (10, "10 % at once"), (100, "all at once")];
    for (place, (part, text)) in entries.into_iter().enumerate() {
        let x = LEFT + place as f64 * 130.0;
        svg.push(format!("<circle cx=\"{}\" cy=\"48\" r=\"5\" fill=\"{}\"/>", x + 5.0, color(part)));
        svg.push(format!("<text x=\"{}\" y=\"52\">{text}</text>", x + 16.0));
    }
    for (place, (gated, text)) in
        [(true, "gated by IMDS"), (false, "ungated: the queue only")].into_iter().enumerate()
    {
        let x = LEFT + 400.0 + place as f64 * 160.0;
        svg.push(format!(
            "<path class=\"s\" stroke=\"#8b949e\" d=\"M{x} 48h26\"{}/><text x=\"{}\" y=\"52\">{text}</text>",
            dashes(gated),
            x + 32.0
        ));
    }
}

fn axes(svg: &mut Vec<String>, panel: &Panel) {
    let bottom = TOP + PLOT_HEIGHT;
    svg.push(format!("<text class=\"t\" x=\"{LEFT}\" y=\"22\">{}</text>", panel.title));
    svg.push(format!(
        "<text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        TOP + PLOT_HEIGHT / 2.0,
        panel.unit
    ));
    for tick in [LEAST, 1.0, 10.0, 100.0, MOST] {
        let y = y(tick);
        let label = if tick == LEAST { format!("≤ {tick}") } else { grouped(tick) };
        svg.push(format!("<path class=\"g\" d=\"M{LEFT} {y:.1}h{PLOT_WIDTH}\"/>"));
        svg.push(format!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            y + 4.0
        ));
    }
    for tick in [1.0, 10.0, 100.0, 1_000.0, INSTANCES_MOST] {
        let x = x(tick);
        svg.push(format!("<path class=\"g\" d=\"M{x:.1} {TOP}v{PLOT_HEIGHT}\"/>"));
        svg.push(format!(
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 17.0,
            grouped(tick)
        ));
    }
    svg.push(format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">instances in the fleet</text>",
        LEFT + PLOT_WIDTH / 2.0,
        bottom + 36.0
    ));
}

fn line(svg: &mut Vec<String>, series: &Series) {
    let color = color(series.part);
    let places: Vec<(f64, f64)> = series.points.iter().map(|(n, figure)| (x(*n), y(*figure))).collect();
    let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    if !path.is_empty() {
        let dashes = dashes(series.gated);
        svg.push(format!("<path class=\"s\" stroke=\"{color}\" d=\"M{}\"{dashes}/>", path.join("L")));
    }
    for (x, y) in places {
        svg.push(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"));
    }
}

fn x(instances: f64) -> f64 {
    LEFT + PLOT_WIDTH * instances.log10() / INSTANCES_MOST.log10()
}

fn y(figure: f64) -> f64 {
    let part = (figure.clamp(LEAST, MOST) / LEAST).log10() / (MOST / LEAST).log10();
    TOP + PLOT_HEIGHT * (1.0 - part)
}

fn grouped(tick: f64) -> String {
    if tick >= 1_000.0 { format!("{},000", tick / 1_000.0) } else { tick.to_string() }
}
