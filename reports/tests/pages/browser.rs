//! Every kind of page in Chromium, wide and narrow, light and dark: axe-core finds no serious fault, nothing leaves the page, and no two
//! labels of a picture lie over each other. Run by `cargo xtask pages`, which fetches axe-core.

use super::run::{Course, html, html_of_runs};
use super::{arms, documents, forecasts};
use serde::Deserialize;
use slacktide_reports::comparison;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names under which distributions ship it.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// What a page is looked at in, CSS pixels.
const WIDTHS: [u32; 2] = [1280, 400];
/// Faults of less weight are advice.
const GRAVE: [&str; 2] = ["serious", "critical"];

/// Looks at one frame: axe, what stands out to the right, labels that overlap or leave their picture.
const PROBE: &str = "
async function probe(frame){
  const w=frame.contentWindow,d=w.document;
  const r=await w.axe.run(d,{resultTypes:['violations']});
  const out=[];
  for(const v of r.violations)out.push({impact:v.impact,what:v.id+': '+v.nodes[0].html.slice(0,200)});
  if(d.documentElement.scrollWidth>w.innerWidth)out.push({impact:'layout',what:'the page scrolls sideways: '+d.documentElement.scrollWidth});
  for(const s of d.querySelectorAll('svg')){
    const box=s.getBoundingClientRect();
    const ts=[...s.querySelectorAll('text')].map(t=>[t.textContent.trim(),t.getBoundingClientRect()]);
    ts.forEach(([a,p],i)=>{
      if(p.left<box.left-1||p.right>box.right+1||p.top<box.top-1||p.bottom>box.bottom+1)out.push({impact:'layout',what:'leaves its picture: '+a});
      for(const [b,q] of ts.slice(i+1)){
        const x=Math.min(p.right,q.right)-Math.max(p.left,q.left),y=Math.min(p.bottom,q.bottom)-Math.max(p.top,q.top);
        if(x>2&&y>3)out.push({impact:'layout',what:'overlap: '+a+' | '+b+' in '+s.querySelector('title').textContent});
      }
    });
  }
  return {page:frame.name,faults:out};
}
onload=async()=>{
  const all=[];
  for(const frame of document.querySelectorAll('iframe'))all.push(await probe(frame));
  document.getElementById('answer').textContent=JSON.stringify(all);
};";

#[derive(Debug, Deserialize)]
struct Looked {
    page: String,
    faults: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    impact: Option<String>,
    what: String,
}

fn browser() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = || std::env::split_paths(&path);
    BROWSERS.iter().find_map(|name| places().map(|dir| dir.join(name)).find(|file| file.is_file())).unwrap_or_else(
        || {
            panic!(
                "no Chromium on PATH (looked for {}): install one, such as `apt-get install chromium`",
                BROWSERS.join(", ")
            )
        },
    )
}

fn axe() -> String {
    let path = std::env::var("SLACKTIDE_AXE")
        .expect("SLACKTIDE_AXE must name axe.min.js: run `cargo xtask pages`, which fetches it");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every kind of page there is.
fn pages() -> Vec<(&'static str, String)> {
    let of = |document: serde_json::Value| comparison::html(&document.to_string()).unwrap();
    vec![
        ("run", html(&Course::SMALL)),
        ("runs", html_of_runs(&Course::SMALL)),
        ("live", html(&Course { live: true, ..Course::SMALL })),
        ("large", html(&Course { devices: 20_000, batches: 300, ..Course::LARGE })),
        ("forecasts", of(forecasts())),
        ("arms", of(arms())),
        ("sweep", of(documents::sweep())),
        ("calibration", of(documents::calibration())),
        ("twin", of(documents::twin())),
    ]
}

/// What the browser says of all pages in one colour scheme.
fn look(browser: &Path, folder: &Path, dark: bool) -> Vec<Looked> {
    let scheme = if dark { 0 } else { 1 };
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"])
        .args(["--window-size=1400,1200", "--virtual-time-budget=120000"])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", folder.join("all.html").display()))
        .output()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", browser.display()));
    let dom = String::from_utf8_lossy(&output.stdout);
    let answer = dom.split_once("<pre id=\"answer\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let answer = answer.map(|(json, _)| json).filter(|json| !json.is_empty());
    let answer = answer.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&output.stderr)));
    let plain = answer.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    serde_json::from_str(&plain).unwrap_or_else(|error| panic!("{error}: {plain}"))
}

#[test]
#[ignore = "needs Chromium and axe-core: `cargo xtask pages`"]
fn a_browser_finds_no_serious_fault_in_any_page() {
    let (browser, axe) = (browser(), axe());
    let folder = tempfile::tempdir().unwrap();
    let script = format!("<script>{}</script></body>", axe.replace("</script", "<\\/script"));
    let mut frames = String::new();
    for (name, page) in pages() {
        std::fs::write(folder.path().join(format!("{name}.html")), page.replace("</body>", &script)).unwrap();
        for width in WIDTHS {
            let _ = write!(
                frames,
                "<iframe name=\"{name} {width}\" src=\"{name}.html\" width={width} height=900></iframe>"
            );
        }
    }
    let all = format!("<!doctype html><body>{frames}<pre id=answer></pre><script>{PROBE}</script>");
    std::fs::write(folder.path().join("all.html"), all).unwrap();
    let mut grave = Vec::new();
    for dark in [false, true] {
        let looked = look(&browser, folder.path(), dark);
        assert_eq!(looked.len(), pages().len() * WIDTHS.len());
        for one in &looked {
            for fault in &one.faults {
                let impact = fault.impact.as_deref().unwrap_or("unknown");
                let words = format!("{}{}: {impact}: {}", one.page, if dark { " dark" } else { "" }, fault.what);
                if GRAVE.contains(&impact) || impact == "layout" {
                    grave.push(words);
                }
            }
        }
    }
    assert!(grave.is_empty(), "{}", grave.join("\n"));
}
