"""The style sheet of an accuracy report."""

STYLE = """
:root{--ink:#1d2a2e;--soft:#5b6b70;--line:#dfe6e4;--paper:#fff;--back:#f5f7f6;--warn:#8a5a00}
*{box-sizing:border-box}
body{font:15px/1.5 "Segoe UI",Roboto,"Noto Sans",sans-serif;color:var(--ink);
background:var(--back);margin:0}
main{max-width:62rem;margin:2rem auto 4rem;padding:0 1.5rem}
h1{font-size:1.7rem;margin:0 0 .3rem;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:2.4rem 0 .6rem}
h3{font-size:.8rem;font-weight:500;color:var(--soft);margin:0}
.lead{font-size:1.05rem;margin:0 0 1.4rem;max-width:48rem}
small{color:var(--soft);font-weight:400}.note{color:var(--soft);font-size:.88rem;margin:.5rem 0 0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.8rem}
.cards div,.panel,figure,table,.caveats{background:var(--paper);border:1px solid var(--line);
border-radius:.5rem}
.cards div{padding:.8rem 1rem}
.cards strong{display:block;font-size:1.9rem;font-weight:600;line-height:1.25}
.cards em{font-style:normal;font-size:1.1rem;font-weight:400;color:var(--soft);margin-left:.2rem}
.cards small{font-size:.8rem}
.wide{overflow-x:auto}
table{border-collapse:separate;border-spacing:0;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.45rem .7rem;text-align:right;border-top:1px solid var(--line)}
th{font-weight:500}thead th,tfoot th{color:var(--soft);font-size:.85rem}
thead small,tfoot small{display:block;font-size:.75rem}
tr>:first-child{text-align:left}
thead tr:first-child>*,tbody:first-child tr:first-child>*{border-top:0}
.class{display:inline-flex;align-items:center;gap:.45rem;text-align:left}
.swatch{flex:none;width:.8rem;height:.8rem;border-radius:.15rem;border:1px solid #0003}
.heat thead th{vertical-align:bottom;border-top:0}.heat .axis{text-align:center;font-weight:600;
color:var(--ink)}.heat .axis.left{text-align:left}
.heat .cell{text-align:center;min-width:5.2rem;border:2px solid var(--paper);border-radius:.4rem;
padding:.5rem .3rem}
.heat .cell b{display:block;font-weight:600;line-height:1.2}
.heat .cell small{color:inherit;opacity:.85;font-size:.75rem}.heat .none{color:var(--line)}
.heat tbody th{min-width:10rem;position:sticky;left:0;background:var(--paper);z-index:1}
.heat.many{font-size:.85rem}.heat.many .cell{min-width:3.6rem}
.heat tfoot td{text-align:center}
.heat tfoot td:nth-last-child(-n+2){text-align:right}
.heat tbody tr>td:nth-last-child(-n+2){white-space:nowrap}
.bar{min-width:6.5rem}.bar i{display:block;height:.3rem;border-radius:.2rem;background:var(--line);
margin-top:.2rem;overflow:hidden}.bar u{display:block;height:100%}
.figures td{white-space:nowrap}
figure{margin:0;padding:1rem}
figure img{display:block;max-width:100%;max-height:52rem;margin:0 auto;image-rendering:pixelated}
figcaption{color:var(--soft);font-size:.88rem;margin-top:.8rem}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;color:var(--ink);margin-bottom:.3rem}
.panel{padding:1rem;margin-bottom:.8rem}
.areas{display:block;width:100%;height:auto;font-size:13px}
.areas text{fill:var(--ink)}.areas .tick{fill:var(--soft);font-size:11.5px}
.areas .grid{stroke:var(--line)}.areas .whisker{stroke:var(--ink);stroke-width:1.6;fill:none}
.caveats{margin:0;padding:.7rem 1.2rem .7rem 2.2rem;border-left:4px solid var(--warn)}
.caveats li{margin:.35rem 0}
.sources td{text-align:left;overflow-wrap:anywhere}.sources th{color:var(--soft);width:9rem;
vertical-align:top;text-align:left}
footer{color:var(--soft);font-size:.85rem;margin-top:2rem}
@media(prefers-color-scheme:dark){:root{--ink:#e6eceb;--soft:#9fb0b3;--line:#334046;--paper:#1e272b;
--back:#161d20;--warn:#d9a441}}
@media print{body{background:#fff}main{max-width:none;margin:0}h2{break-after:avoid}
figure,.panel,table,.caveats{break-inside:avoid}}
"""
