//! The chart as it is drawn: where a share, a second, an error and an alarm stand in the picture.
//!
//! Everything is read back from the page, so a chart that is upside down, shifted or incomplete fails here.

use serde_json::{Value, json};

use super::super::page;

/// The heights at which the page's own labels say 100 %, 50 % and 0 %.
const HEIGHTS: [(f64, &str); 3] = [(14.0, "100 %"), (95.0, "50"), (176.0, "0")];
/// Where the plot begins and ends, from left to right.
const BEGIN: f64 = 52.0;
const END: f64 = 632.0;

/// How many seconds are watched; twenty bins of one second each.
const SECONDS: u64 = 20;

/// The picture of a shift: 10 % intended and half of it seen for eight seconds, then half, at last everything; one error in
/// second 3, four in second 15, an alarm in seconds 15 and 16.
fn picture() -> String {
    let second = |at: u64| {
        let (intended, of_new) = match at {
            0..8 => (10.0, 1),
            8..14 => (50.0, 10),
            _ => (100.0, 20),
        };
        let errors = [(3, 1), (15, 4)].into_iter().find(|(second, _)| *second == at).map_or(0, |(_, n)| n);
        json!({"at": at, "by_function": {"f": {"sent": 20, "errors": errors}}, "intended": {"f": intended},
            "by_version": {"f 1": 20 - of_new, "f 2": of_new},
            "alarms": if (15..17).contains(&at) { json!(["f-errors"]) } else { json!([]) }})
    };
    let data = json!({"env": "prod", "seconds": (0..SECONDS).map(second).collect::<Vec<Value>>(),
        "deployments": [{"function": "f", "new": "2"}]});
    let lines = [
        json!({"type": "result", "command": "test-deployment", "verdict": "released", "ok": true, "data": data}),
    ];
    let html = page(&lines).unwrap();
    let begin = html.find("<svg viewBox=\"0 0 640 200\"").unwrap();
    html[begin..begin + html[begin..].find("</svg>").unwrap()].to_owned()
}

/// The attributes' values of every element of a class, in the drawing's order.
fn elements<const N: usize>(svg: &str, class: &str, attributes: [&str; N]) -> Vec<[f64; N]> {
    let rows = svg.lines().filter(|row| row.contains(&format!("class=\"{class}\"")));
    let value = |row: &str, name: &str| -> f64 {
        let text = row.split(&format!(" {name}=\"")).nth(1).unwrap_or_else(|| panic!("no {name}: {row}"));
        text.split('"').next().unwrap().parse().unwrap()
    };
    rows.map(|row| attributes.map(|name| value(row, name))).collect()
}

/// The `d` of the only path of a class.
fn path<'a>(svg: &'a str, class: &str) -> &'a str {
    let all: Vec<&str> = svg.split(&format!("<path class=\"{class}\" d=\"")).skip(1).collect();
    assert_eq!(all.len(), 1, "one line of class {class}\n{svg}");
    all[0].split('"').next().unwrap()
}

/// Where a second begins.
fn x(second: u64) -> f64 {
    BEGIN + (END - BEGIN) * second as f64 / SECONDS as f64
}

/// How high a share stands: a larger one is higher up, which is a smaller number.
fn y(share: f64) -> f64 {
    let (top, bottom) = (HEIGHTS[0].0, HEIGHTS[2].0);
    bottom - (bottom - top) * share / 100.0
}

/// Equal but for the one decimal that is drawn.
fn near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() < 0.06
}

#[test]
fn the_scale_says_what_the_lines_mean() {
    let svg = picture();
    for (height, label) in HEIGHTS {
        // A label's letters reach up from its line; its middle is four units above.
        let text = format!("<text x=\"46\" y=\"{}\" text-anchor=\"end\">{label}</text>", height + 4.0);
        assert!(svg.contains(&text), "{label} stands at {height}\n{svg}");
        assert!(svg.contains(&format!("M52 {height}H632")), "a line for {label}\n{svg}");
        assert!(near(y(label.trim_end_matches(" %").parse().unwrap()), height));
    }
    let ticks: Vec<(f64, String)> = svg
        .lines()
        .filter(|row| row.contains(" y=\"194\""))
        .map(|row| {
            let x = row.split("<text x=\"").nth(1).unwrap().split('"').next().unwrap();
            let word = row.split('>').nth(1).unwrap().split('<').next().unwrap();
            (x.parse().unwrap(), word.to_owned())
        })
        .collect();
    let wanted = [(0, "0 s"), (5, "5 s"), (10, "10 s"), (15, "15 s"), (20, "20 s")];
    assert_eq!(ticks.len(), wanted.len(), "{ticks:?}");
    for ((found, word), (second, wanted)) in ticks.iter().zip(wanted) {
        assert!(
            near(*found, x(second)) && word == wanted,
            "{word} at {found}, not {wanted} at {}",
            x(second)
        );
    }
}

#[test]
fn the_intended_share_is_a_staircase_and_the_observed_one_is_beside_it() {
    let svg = picture();
    // A share holds until the second in which the next one begins, and the last one to the end.
    let mut stairs = Vec::new();
    let intended = path(&svg, "aim");
    let mut words = intended.split_whitespace();
    let mut number = || -> Option<f64> { words.next()?.trim_start_matches('M').parse().ok() };
    let mut pen = (number().unwrap(), number().unwrap());
    for word in words {
        let number: f64 = word.trim_start_matches(['H', 'V']).parse().unwrap();
        if word.starts_with('H') {
            stairs.push((pen.0, number, pen.1));
            pen.0 = number;
        } else {
            pen.1 = number;
        }
    }
    for (second, share) in [(0, 10.0), (7, 10.0), (8, 50.0), (13, 50.0), (14, 100.0), (19, 100.0)] {
        let middle = x(second) + (END - BEGIN) / SECONDS as f64 / 2.0;
        let step = stairs.iter().find(|(from, to, _)| (*from..*to).contains(&middle));
        let Some((.., height)) = step else { panic!("nothing is intended in second {second}: {intended}") };
        assert!(near(*height, y(share)), "second {second}: {share} % at {height}, not {}", y(share));
    }
    assert!(near(stairs[0].0, BEGIN) && near(pen.0, END), "{intended}");

    // What was seen in a second stands in the middle of it, as a point and on the line.
    let dots = elements(&svg, "dot", ["cx", "cy"]);
    assert_eq!(dots.len(), 20);
    let line: Vec<f64> =
        path(&svg, "seen").split(['M', 'L', ' ']).filter_map(|word| word.parse().ok()).collect();
    assert_eq!(line, dots.concat(), "the line goes through the points");
    for (second, [found, height]) in dots.into_iter().enumerate() {
        let share = [5.0, 50.0, 100.0][usize::from(second >= 8) + usize::from(second >= 14)];
        let middle = (x(second as u64) + x(second as u64 + 1)) / 2.0;
        assert!(near(found, middle) && near(height, y(share)), "second {second}: {found} {height}");
    }
}

#[test]
fn errors_stand_on_the_ground_and_an_alarm_fills_its_seconds() {
    let svg = picture();
    let bars = elements(&svg, "err", ["x", "width", "y", "height"]);
    // The most errors of a second are forty units high.
    let wanted = [(3, 10.0), (15, 40.0)];
    assert_eq!(bars.len(), wanted.len(), "{svg}");
    for ([left, width, top, height], (second, high)) in bars.into_iter().zip(wanted) {
        assert!(
            near(left, x(second)) && near(left + width, x(second + 1)),
            "second {second}: {left} {width}"
        );
        assert!(near(height, high) && near(top + height, HEIGHTS[2].0), "second {second}: {top} {height}");
    }
    let bands = elements(&svg, "band", ["x", "width", "y", "height"]);
    assert_eq!(bands.len(), 2, "{svg}");
    for ([left, width, top, height], second) in bands.into_iter().zip([15, 16]) {
        assert!(
            near(left, x(second)) && near(left + width, x(second + 1)),
            "second {second}: {left} {width}"
        );
        assert!(near(top, HEIGHTS[0].0) && near(top + height, HEIGHTS[2].0), "{top} {height}");
    }
    // What lies behind is drawn first.
    let order = ["class=\"band\"", "class=\"err\"", "class=\"aim\"", "class=\"seen\"", "class=\"dot\""];
    let places: Vec<usize> = order.iter().map(|class| svg.find(class).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}
