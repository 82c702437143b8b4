"""How is `nin export` carried out? Writes a model as one file for other software, once it says what the model says."""

from nin.app.console import Progress
from nin.app.options import Export
from nin.errors import OptionError
from nin.files import write
from nin.inference.export import check_file, export, require_onnx, shape_of, to_onnx
from nin.inference.int8 import in_words, quantise
from nin.inference.load import load
from nin.inference.parity import compare, onnx_runner
from nin.runs.held_out import images_to_calibrate, images_to_evaluate
from nin.text import printable


def main(options: Export) -> int:
    """Export a model, and print on how many images the file says the same."""
    check_file(options.file, options.format)
    if options.int8 and (options.format != "onnx" or options.any_size):
        raise OptionError("--int8 is for ONNX files of images of a fixed size: leave out --format and --any-size")
    classifier = load(options.model, device="cpu", precision="float32")
    if options.format == "onnx":
        require_onnx()  # before images are read
    with Progress() as progress:
        source, model = options.data, options.model
        name, split, images = images_to_evaluate(source, model, classifier.config, progress.read)
        if options.int8:
            content = to_onnx(classifier, shape_of(images.images))
            parity = compare(onnx_runner(content), classifier, images.images, progress.read)
            calibration = images_to_calibrate(source, model, classifier.config, progress.read)
            quantised = quantise(content, calibration, images)
            print(in_words(quantised))
            quantised.check()
            write(options.file, quantised.content)
        else:
            parity = export(
                classifier,
                options.file,
                images.images,
                format=options.format,
                any_size=options.any_size,
                on_progress=progress.read,
            )
    print(
        f"{options.file}: {options.file.stat().st_size:,} bytes; the float32 file gave the same labels on all "
        f"{parity.images:,} {split} images of {printable(name)}, and probabilities within {parity.difference:.1g}"
    )
    return 0
